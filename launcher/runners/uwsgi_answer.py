"""Answers as uWSGI's router wants them."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any
    from wsgiref.types import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

WITHOUT_BODY = ("1", "204", "304")
FRAMING = {"content-length", "transfer-encoding"}

LINGER_S = 2.0
"""For a client to send what nobody wants any more."""
PIECE = 65536
NOTHING = (None, "", "0")


def for_router(application: WSGIApplication, draining: Callable[[], bool]) -> WSGIApplication:
    """Say how long an answer in one piece is: otherwise the router closes the connection, to show where it ends.

    While the server stops every answer says that the connection closes, and the router closes it. It does so where
    the client asks for it too, and would not say it.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        closes = environ.get("HTTP_CONNECTION", "").lower() == "close"
        head = _Head(start_response, (lambda: True) if closes else draining)
        body = application(environ, head.start)
        whole = isinstance(body, (list, tuple)) and len(body) <= 1 and environ["REQUEST_METHOD"] != "HEAD"
        head.send(sum(map(len, body)) if whole else None)
        return _Thorough(body, environ["wsgi.input"]) if environ.get("CONTENT_LENGTH") not in NOTHING else body

    return answer


class _Thorough:
    """An answer, and behind it what the application left of the request's body.

    The router drops an answer where the worker closes before it has taken all that the router passes on.
    """

    def __init__(self, answer: Iterable[bytes], body: InputStream) -> None:
        self._answer = answer
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer
        end = time.monotonic() + LINGER_S
        with contextlib.suppress(OSError):
            while self._body.read(PIECE) and time.monotonic() < end:
                pass

    def close(self) -> None:
        if hasattr(self._answer, "close"):
            self._answer.close()


class _Head:
    """Status and headers, held back until the body is known, or until the application writes."""

    def __init__(self, start_response: StartResponse, closes: Callable[[], bool]) -> None:
        self._start_response = start_response
        self._closes = closes
        self._told: tuple[str, list[tuple[str, str]], tuple[Any, ...]] | None = None
        self._held = True
        self._through: Callable[[bytes], object] | None = None

    def start(self, status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
        self._told = status, headers, error
        return self._write if self._held else self._pass_on(None)

    def send(self, length: int | None) -> None:
        """Pass on what was said, if it still waits; what is said later goes through at once."""
        held, self._held = self._held, False
        if held and self._told is not None:  # a generator says it with its first piece
            self._pass_on(length)

    def _write(self, data: bytes) -> object:
        self._held = False
        self._through = self._through or self._pass_on(None)
        return self._through(data)

    def _pass_on(self, length: int | None) -> Callable[[bytes], object]:
        assert self._told is not None
        status, headers, error = self._told
        added = []
        if length is not None and not status.startswith(WITHOUT_BODY) and not _names(headers) & FRAMING:
            added.append(("Content-Length", str(length)))
        if self._closes():
            added.append(("Connection", "close"))
        return self._start_response(status, [*headers, *added], *error)


def _names(headers: list[tuple[str, str]]) -> set[str]:
    return {name.lower() for name, _ in headers}
