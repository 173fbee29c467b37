"""Answers to HEAD without a body, where the server would send what the application returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def without_body_to_head(app: WSGIApplication) -> WSGIApplication:
    """Leave the body of an answer to HEAD away; a client takes it for the next answer on a kept connection.

    Django leaves that to the server; uWSGI 2.0.30 and waitress 3.0.2 do not do it.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = app(environ, start_response)
        return WithoutBody(body) if environ.get("REQUEST_METHOD") == "HEAD" else body

    return answer


class WithoutBody:
    """An answer of which only status and headers are sent."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        next(iter(self._body), b"")  # a generator says status and headers with its first piece
        return iter(())

    def close(self) -> None:
        if hasattr(self._body, "close"):
            self._body.close()
