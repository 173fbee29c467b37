"""Tell balancers whether the server takes requests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .answer import answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def tell_readiness(app: WSGIApplication, path: str, draining: str) -> WSGIApplication:
    """Answer `path` with 200, and with 503 while the file `draining` exists; leave all else to `app`.

    Only a worker that has loaded the application answers at all, whatever Host the balancer sends.
    """

    def telling(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != path:
            return app(environ, start_response)
        status = "503 Service Unavailable" if draining and os.path.exists(draining) else "200 OK"
        return answer(environ, start_response, status, (("Cache-Control", "no-store"),))

    return telling
