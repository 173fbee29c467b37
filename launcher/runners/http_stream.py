"""The two directions of a client's connection, and the bodies that come in on it."""

import io
import math
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import IO, Any

from .http_head import CHUNKED, Head, Refusal, bad, body_length, chunk_size, parse_head, too_long

CHUNK_LINE = 4096
"""Longest line between chunks, with its extensions; also of all trailers together."""
IN_MEMORY = 2**20
"""Bytes of a chunked body from which on it lies in a temporary file."""
DISCARDED = 2**16
"""Unread bytes of a body that are read for the sake of the next request."""
DISCARD_S = 1.0
"""How long this may take, in seconds."""


class ClientGone(OSError):
    """The client has closed its connection, or does not read what we send."""


class ClientStalled(ClientGone):
    """The client does not send what it has begun."""


class BodyTooLong(ClientGone):
    """More comes than may."""


class ClientStream:
    """Reads and writes a socket; no wait for the client is longer than `timeout_s`.

    Raises ClientGone and ClientStalled. What is written waits for `flush`.
    """

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self.sock = sock
        self.timeout_s = timeout_s
        self.unread = bytearray()
        """What has come and nobody has asked for yet."""
        self.answering = False
        """Whether anything was written since the head was read."""
        self._unsent: list[bytes] = []

    def line(self, limit: int, deadline: float) -> bytes:
        """Return the next line without its CRLF, which must come before `deadline` (monotonic).

        Raises ValueError if it is longer than `limit`, Refusal if it ends with LF only.
        """
        searched = 0
        while (end := self.unread.find(b"\n", searched)) < 0:
            searched = len(self.unread)
            if searched > limit + 1:
                raise ValueError("line too long")
            if not self._receive(min(self.timeout_s, deadline - time.monotonic())):
                raise ClientGone("closed within a line")
        if end > limit + 1:
            raise ValueError("line too long")
        line = bytes(self.unread[: end + 1])
        del self.unread[: end + 1]
        if not line.endswith(b"\r\n"):
            raise bad("a line that does not end with CRLF")
        return line[:-2]

    def read(self, size: int, deadline: float = math.inf) -> bytes:
        """Return some bytes, at most `size`; none at the end of the connection."""
        if not self.unread:
            self._receive(min(self.timeout_s, deadline - time.monotonic()))
        data = bytes(self.unread[:size])
        del self.unread[:size]
        return data

    def write(self, data: bytes) -> None:
        self.answering = True
        self._unsent.append(data)

    def flush(self) -> None:
        """Send what was written. A client that reads a little now and then may take its time."""
        data = memoryview(b"".join(self._unsent))
        self._unsent.clear()
        try:
            self.sock.settimeout(self.timeout_s)
            while data:
                data = data[self.sock.send(data) :]
        except OSError as error:
            raise ClientGone("does not read") from error

    def _receive(self, patience_s: float) -> bool:
        if patience_s <= 0:
            raise ClientStalled("too slow")
        self.sock.settimeout(patience_s)
        try:
            data = self.sock.recv(65536)
        except TimeoutError as error:
            raise ClientStalled("sends nothing") from error
        except OSError as error:
            raise ClientGone("reset") from error
        self.unread += data
        return bool(data)


def read_head(stream: ClientStream, max_line: int, max_size: int) -> Head | None:
    """Read one head, which has the stream's timeout in all; None where the client closed instead.

    Raises Refusal, ClientGone.
    """
    deadline = time.monotonic() + stream.timeout_s
    lines: list[bytes] = []
    left = max_size
    try:
        while True:
            try:
                line = stream.line(left if lines else min(left, max_line), deadline)
            except ValueError:
                if lines or left < max_line:
                    raise too_large(max_size) from None
                raise too_long(max_line) from None
            left -= len(line) + 2
            if left < 0:
                raise too_large(max_size)
            if line:
                lines.append(line)
            elif lines:
                stream.answering = False
                return parse_head(lines)
            # An empty line before the first is left over from the body of an old client.
    except ClientStalled:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the head did not come in time") from None
    except ClientGone:
        if lines or stream.unread:
            raise
        return None


def too_large(max_size: int) -> Refusal:
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {max_size} bytes")


def open_body(stream: ClientStream, head: Head, max_size: int) -> "tuple[Body, int | None]":
    """Return a request's body, and its length where the head does not tell. Raises Refusal, ClientGone.

    A chunked one is here when this returns: PEP 3333 has no way to say that a length is not known yet. One that is too
    long cannot be read: the layer in the application sees that by its length. It refuses and logs the request.
    """
    length = body_length(head)

    def go_on() -> None:
        if not stream.answering:
            stream.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            stream.flush()

    def refuse() -> None:
        raise BodyTooLong(f"more than {max_size} bytes")

    if length > max_size:
        return Body(stream, length, before_reading=refuse), None
    if length != CHUNKED:
        return Body(stream, length, before_reading=go_on if head.expects_continue else None), None
    if head.expects_continue:
        go_on()
    try:
        file = _unchunk(stream, max_size)
    except BodyTooLong:
        return Body(stream, max_size + 1, before_reading=refuse), max_size + 1
    except ClientStalled:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from None
    except ValueError:
        raise bad("malformed chunk") from None
    size = file.tell()
    file.seek(0)
    return Body(stream, size, file=file), size


def _unchunk(stream: ClientStream, max_size: int) -> IO[bytes]:
    file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the body's reader closes it
    try:
        for data in unchunked(stream, max_size):
            file.write(data)
    except BaseException:
        file.close()
        raise
    return file


def unchunked(stream: ClientStream, max_size: int) -> Iterator[bytes]:
    """Yield the pieces of a chunked body as they come, and read its end. Raises Refusal, ValueError, ClientGone, and
    BodyTooLong at more than `max_size`."""
    left = max_size
    while size := chunk_size(_chunk_line(stream)):
        left -= size
        if left < 0:
            raise BodyTooLong(f"more than {max_size} bytes")
        while size:
            if not (data := stream.read(size)):
                raise ClientGone("closed within the body")
            yield data
            size -= len(data)
        if _chunk_line(stream):
            raise bad("malformed chunk")
    trailers = 0
    while line := _chunk_line(stream):
        trailers += len(line)
        if trailers > CHUNK_LINE:
            raise bad("more trailers than a request needs")


def _chunk_line(stream: ClientStream) -> bytes:
    return stream.line(CHUNK_LINE, time.monotonic() + stream.timeout_s)


class Body(io.RawIOBase):
    """A request's body of known length: whoever reads on finds its end, and never the next request."""

    def __init__(
        self,
        stream: ClientStream,
        length: int,
        *,
        before_reading: Callable[[], None] | None = None,
        file: IO[bytes] | None = None,
    ) -> None:
        self.left = length
        self._stream = stream
        self._before_reading = before_reading
        self._file = file

    @property
    def can_end(self) -> bool:
        """Whether little enough of it is still to come for another request to follow."""
        if self._file or not self.left:
            return True
        return self.left <= DISCARDED and self._before_reading is None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.left or not len(buffer):
            return 0
        if self._before_reading:
            self._before_reading()
            self._before_reading = None
        data = (self._file or self._stream).read(min(self.left, len(buffer)))
        if not data:
            raise ClientGone("closed within the body")
        buffer[: len(data)] = data
        self.left -= len(data)
        return len(data)

    def end(self, *, read_on: bool) -> bool:
        """Return whether the connection is now at the next request, if need be after a little reading on.

        Nothing can be read from here any more.
        """
        can_end, left, self.left = self.can_end, self.left, 0
        if self._file:
            self._file.close()
            return True
        deadline = time.monotonic() + DISCARD_S
        try:
            while read_on and can_end and left and (data := self._stream.read(left, deadline)):
                left -= len(data)
        except ClientGone:
            pass
        return not left
