"""Answers that uWSGI would not give, or not as its router wants them."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from ..middleware.answer import answer as short_answer
from ..middleware.body_limit import CountedInput
from ..middleware.head import WithoutBody
from .uwsgi_head import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any
    from wsgiref.types import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

NOBODY = "0.0.0.0"  # of a client by a unix socket
UNEXPECTED = "417 Expectation Failed"
PROTOCOLS = ("HTTP/1.1", "HTTP/1.0")
WITHOUT_BODY = ("1", "204", "304")
FRAMING = {"content-length", "transfer-encoding"}
LENGTHS = {len(name) for name in ("connection", "date", *FRAMING)}
"""Of names that mean something here: a header of another length is none of them, and needs no second look."""

LINGER_S = 2.0
"""For a client to send what nobody wants any more."""
PIECE = 65536


def for_uwsgi(
    application: WSGIApplication,
    closes: Callable[[], bool],
    *,
    routed: bool,
    http: bool,
    routes: bool = False,
    max_line: int | None = None,
) -> WSGIApplication:
    """Answer 500 where the application raises, say how long an answer in one piece is, and when it was made.

    uWSGI 2.0.30 closes without a word in the first case, and its router to show where an answer of unknown length ends.
    It knows no Date, which a server with a clock has to send (RFC 9110, 6.6.1).
    Behind the router each answer says that the connection closes where `closes` returns so, which makes the router do
    it, and where the client asked for that or has not been read to the end: the router does it too, and would not say
    it. `http` says that uWSGI itself has read the request, rather than a front server; its first line may have
    `max_line` bytes. `routes` says that there are some of uWSGI's own, which may have made the path another.
    """

    limit = max_line or sys.maxsize
    path = not routes
    unsaid = "" if http else "0"
    # Where uWSGI itself closes after each answer, it says so too (--add-header).
    ends = closes if routed or not http else None

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("REMOTE_ADDR") == NOBODY:
            environ |= {"REMOTE_ADDR": "", "REMOTE_PORT": "", "SERVER_PORT": "80"}
        length = environ.get("CONTENT_LENGTH", "0") or unsaid
        sent = environ["wsgi.input"] if length != "0" else None
        refusal = settle(environ, length, limit, path=path) if http else ""
        if "HTTP_EXPECT" in environ and http and not refusal:
            if environ["HTTP_EXPECT"].lower() != "100-continue":
                refusal = UNEXPECTED
            elif not routed:  # the router does it by itself
                _say("HTTP/1.1 100 Continue\r\n\r\n")
        chunked = http and "HTTP_TRANSFER_ENCODING" in environ
        closing = ends
        if routed and (refusal or chunked or environ.get("HTTP_CONNECTION", "").lower() == "close"):
            closing = _always
        elif routed and sent is not None:
            sent = environ["wsgi.input"] = CountedInput(sent, int(length))
            closing = partial(_unread, sent, closes)
        if chunked:
            from .uwsgi_chunks import Chunks  # there is no uwsgi but in its workers

            environ["wsgi.input"] = Chunks(environ["wsgi.multithread"])
        head = _Head(start_response, closing, http)
        body: Iterable[bytes]
        try:
            if refusal:
                body = _refuse(environ, head.start, refusal)
            else:
                body = application(environ, head.start)
                if environ.get("REQUEST_METHOD") == "HEAD":
                    body = WithoutBody(body)
        except (Exception, SystemExit) as error:
            if not head.held:
                raise
            sys.excepthook(type(error), error, error.__traceback__)
            body = short_answer(environ, head.start, "500 Internal Server Error")
        head.send(sum(map(len, body)) if isinstance(body, (list, tuple)) and len(body) <= 1 else None)
        return body if sent is None else _Thorough(body, sent)

    return answer


def _always() -> bool:
    return True


def _unread(body: CountedInput, closes: Callable[[], bool]) -> bool:
    return bool(body.left) or closes()


def _refuse(environ: WSGIEnvironment, start_response: StartResponse, status: str) -> Iterable[bytes]:
    """Answer with a status, in the protocol that uWSGI speaks: it would name whatever the request did."""
    if environ.get("SERVER_PROTOCOL") in PROTOCOLS:
        return short_answer(environ, start_response, status)
    _say(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\nDate: {_date(time.time() // 1)[1]}\r\n\r\n")
    return ()


def _say(text: str) -> None:
    """Send something past uWSGI; a client that has gone is noticed later."""
    import uwsgi  # there is none but in its workers

    with contextlib.suppress(OSError):
        os.write(uwsgi.connection_fd(), text.encode())


class _Thorough:
    """An answer, and behind it what the application left of the request's body.

    Who closes before he has taken all that is sent to him resets the connection: the answer is lost on the way, to a
    front server and by uWSGI's own router too.
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
    """Status and headers, held back until the body is known, or until the application writes.

    uWSGI 2.0.30 cannot take a second head in the place of the first.
    """

    __slots__ = ("_closes", "_dated", "_start_response", "_through", "_told", "held")

    def __init__(self, start_response: StartResponse, closes: Callable[[], bool] | None, dated: bool, /) -> None:
        self.held = True
        self._dated = dated
        self._start_response = start_response
        self._closes = closes
        self._told: tuple[str, list[tuple[str, str]]] | None = None
        self._through: Callable[[bytes], object] | None = None

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        if self._through is not None and exc_info:
            raise exc_info[1].with_traceback(exc_info[2])
        self._told = status, headers
        return self._write if self.held else self._pass_on(None)

    def send(self, length: int | None) -> None:
        """Pass on what was said, if it still waits; what is said later goes through at once."""
        held, self.held = self.held, False
        if held and self._told is not None:  # a generator says it with its first piece
            self._pass_on(length)

    def _write(self, data: bytes) -> object:
        self.held = False
        return (self._through or self._pass_on(None))(data)

    def _pass_on(self, length: int | None) -> Callable[[bytes], object]:
        assert self._told is not None
        status, headers = self._told
        names = set()
        for name, _ in headers:
            if len(name) in LENGTHS:
                names.add(name.lower())
        if "connection" in names:  # which PEP 3333 leaves to the server
            headers = [header for header in headers if header[0].lower() != "connection"]
        added = []
        if length is not None and not status.startswith(WITHOUT_BODY) and not names & FRAMING:
            added.append(("Content-Length", str(length)))
        if self._dated and "date" not in names:
            added.append(_date(time.time() // 1))
        if self._closes is not None and self._closes():
            added.append(("Connection", "close"))
        self._through = self._start_response(status, [*headers, *added])
        return self._through


@lru_cache(1)
def _date(second: float) -> tuple[str, str]:
    from email.utils import formatdate

    return "Date", formatdate(second, usegmt=True)
