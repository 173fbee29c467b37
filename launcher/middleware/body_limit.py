"""Refuse request bodies that are too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answer import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import TypeAlias
    from wsgiref.types import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

    ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None

TOO_LARGE = "413 Content Too Large"
BAD_REQUEST = "400 Bad Request"


class BodyTooLarge(OSError):
    """More bytes came than are allowed. An OSError, for frameworks expect those from `wsgi.input`."""


def limit_body(app: WSGIApplication, limit: int) -> WSGIApplication:
    """Answer 413 to a body of more than `limit` bytes.

    A body of announced length is refused before the application is called. One of unknown length (chunked) is
    counted while it is read, and refused as long as the response has not begun.
    """

    def limited(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH")
        if length:
            # Latin-1 has no decimals but 0 to 9; uWSGI 2.0.30 and wsgiref let `+5`, `-5` and `abc` through.
            if not length.isdecimal():
                return answer(environ, start_response, BAD_REQUEST)
            if len(length) > 18 or int(length) > limit:
                return answer(environ, start_response, TOO_LARGE)
        # HTTP/2 needs no Transfer-Encoding to leave the length open.
        elif environ.get("SERVER_PROTOCOL", "") > "HTTP/1.1":
            return Counted(environ, start_response, limit).run(app)
        if "HTTP_TRANSFER_ENCODING" in environ:
            return Counted(environ, start_response, limit).run(app)
        return app(environ, start_response)

    return limited


class CountedInput:
    """A `wsgi.input` that raises BodyTooLarge once more than `limit` bytes were read."""

    def __init__(self, stream: InputStream, limit: int) -> None:
        self._stream = stream
        self.left = limit
        """How much more is allowed."""
        self.exceeded = False

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size >= 0:
            return self._count(self._stream.read(self._ask(size))) if size else b""
        pieces = []
        while piece := self._count(self._stream.read(self._ask(65536))):
            pieces.append(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1, /) -> bytes:
        if size == 0:
            return b""
        wanted = self.left + 1 if size is None or size < 0 else size
        return self._count(self._stream.readline(self._ask(wanted)))

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        while line := self.readline():
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def _ask(self, size: int) -> int:
        """Return how much to ask for: one byte more than is left is enough to know."""
        if self.exceeded:
            raise BodyTooLarge("the request body is larger than max_body_size")
        return min(size, self.left + 1)

    def _count(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            self.exceeded = True
            raise BodyTooLarge("the request body is larger than max_body_size")
        return data


class Counted:
    """One exchange whose body is counted while the application reads it."""

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse, limit: int) -> None:
        self._environ = environ
        self._start_response = start_response
        self._input = environ["wsgi.input"] = CountedInput(environ["wsgi.input"], limit)
        self._started = False
        self._refusal: list[bytes] | None = None
        self._body: Iterable[bytes] = ()

    def run(self, app: WSGIApplication) -> Iterable[bytes]:
        try:
            self._body = app(self._environ, self._start)
        except BodyTooLarge:
            if self._started:
                raise
            return answer(self._environ, self._start_response, TOO_LARGE)
        if self._refusal is not None:
            self.close()
            return self._refusal
        # Begun in order: nothing is left to decide, and a file goes on as a file.
        return self._body if self._started else self

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo = None, /
    ) -> Callable[[bytes], object]:
        if self._refusal is not None:
            return _discard
        # Whatever the application made of the error: the client is told the reason.
        if self._input.exceeded and not self._started and not status.startswith("413"):
            self._refusal = answer(self._environ, self._start_response, TOO_LARGE)
            return _discard
        self._started = True
        if exc_info:
            return self._start_response(status, headers, exc_info)
        return self._start_response(status, headers)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._body:
                if self._refusal is not None:
                    break
                yield chunk
        except BodyTooLarge:
            if self._started:
                raise
            if self._refusal is None:
                self._refusal = answer(self._environ, self._start_response, TOO_LARGE)
        yield from self._refusal or ()

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


def _discard(_data: bytes) -> None:
    """Stand for `write` after a refusal."""
