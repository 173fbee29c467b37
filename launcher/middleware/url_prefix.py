"""Serve the application below a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answer import answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def mount(app: WSGIApplication, prefix: str) -> WSGIApplication:
    """Move `prefix` from PATH_INFO to SCRIPT_NAME; answer 404 to whatever is not below it.

    `/shop` covers `/shop` and `/shop/cart`, not `/shopping`. Raises ValueError where it is no path.
    """
    if not prefix.startswith("/"):
        raise ValueError(f"url_prefix '{prefix}' does not begin with a slash")
    # PEP 3333: the environ holds bytes, read as Latin-1.
    name = prefix.rstrip("/").encode("utf-8").decode("latin-1")
    below = f"{name}/"
    length = len(name)

    def mounted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not (path.startswith(below) or path == name):
            return answer(environ, start_response, "404 Not Found")
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + name
        environ["PATH_INFO"] = path[length:]
        return app(environ, start_response)

    return mounted
