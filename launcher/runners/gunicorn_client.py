"""A client of gunicorn's threaded worker: its socket, and the request that it is sending."""

import errno
import re
import socket
import ssl
import struct
import threading
from functools import cache
from typing import Any, cast

from gunicorn.http import RequestParser
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import TConn

from .plain_http import is_plain, refusal

HELD_BYTES = 65536
"""What may arrive of a request before it gets a thread; the application reads the rest from the socket."""

HEAD_BYTES = 8192
"""How much is read at once while a head is expected, as gunicorn does; more costs even when it does not come."""

BODY = re.compile(rb"\r\n(?:content-length[ \t]*:[ \t]*(\d{1,15})?|(?:expect|transfer-encoding)[ \t]*:)", re.IGNORECASE)


class _Impatient(socket.socket):
    """What a silent client means: that it is gone."""

    def setblocking(self, flag: bool) -> None:
        """Leave it: gunicorn would, several times for each request, take away the time limit."""

    def recv(self, bufsize: int = 1024, flags: int = 0, /) -> bytes:
        try:
            return super().recv(bufsize, flags)
        except (BlockingIOError, TimeoutError):
            if flags & socket.MSG_DONTWAIT:
                raise
            raise _gone() from None

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        try:
            super().sendall(data, flags)
        except (BlockingIOError, TimeoutError):
            raise _gone() from None


class ClientSocket(_Impatient):
    """A connection as it is accepted. It sends the head of an answer together with the beginning of its body."""

    _head = b""
    first: "threading.Lock | None" = None
    """Taken by whoever is first to send something of an answer, where requests have a time limit."""
    _answering: "threading.Lock | None" = None

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.endswith(b"\r\n\r\n") and data.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) and data[9] > ord("1"):
            # PEP 3333 too wants it held back until there is something of the body.
            self._head = data
            return
        if self.first is not self._answering:
            self._begin_answer()
        super().sendall(data, flags)

    def _begin_answer(self) -> None:
        if self.first is not None and not self.first.acquire(blocking=False):
            raise ConnectionResetError(errno.ECONNRESET, "the request took too long, and was answered so")
        self._answering = self.first

    def sendfile(self, *what: Any, **part: Any) -> int:
        self.flush()
        return super().sendfile(*what, **part)

    def flush(self) -> None:
        """Send the head if it is all there is."""
        if self._head:
            self.sendall(b"")

    def limit(self, seconds: float) -> None:
        """Wait no longer than this for the client."""
        # A Python timeout would limit the whole of sendall(); the kernel's starts anew when bytes move.
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.setsockopt(socket.SOL_SOCKET, option, _timeval(seconds))
        if self.family != socket.AF_UNIX:
            # socket.sendfile() would try again for ever. The kernel takes 24 days at most.
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, min(int(seconds * 1000), 2**31 - 1))


class TLSSocket(_Impatient, ssl.SSLSocket):
    """A connection with TLS, which takes over the Python timeout: it would try again where the kernel's ends."""

    def flush(self) -> None:
        """Do nothing: what is sent is sent."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except TimeoutError:
            raise _gone() from None


@cache
def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))


def _gone() -> OSError:
    # gunicorn passes over this one without a traceback.
    return ConnectionResetError(errno.ECONNRESET, "the client was silent for too long")


class Connection(TConn):
    """A client, and what it has sent of its next request."""

    received = b""
    needed = 0
    """Bytes of a whole request, once its head tells."""
    begun = False
    whole = False
    """Whether gunicorn's parser was given exactly one request."""
    bare = False
    """Whether that request has no body."""
    closing = False
    armed = False
    deadline = 0.0

    @property
    def silent(self) -> bool:
        """Whether the client is expected to ask, and nothing of that has been read."""
        return not (self.received or self.closing)

    def receive(self) -> bool:
        """Take what has arrived; return False when the client is gone."""
        try:
            data = self.sock.recv(HELD_BYTES if self.needed else HEAD_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.received += data
        return bool(data)

    def ready(self) -> bool:
        """Return whether a request has arrived, which gunicorn's parser has got then."""
        data = self.received
        if not data or not self._complete(data):
            return False
        self.whole = len(data) == self.needed
        self.received, self.needed, self.begun = b"", 0, False
        self.init()
        self._parser.unreader.unread(data)
        return True

    def _complete(self, data: bytes) -> bool:
        if not self.needed:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                # Too long, or with lines that never end so: gunicorn's parser has the answer.
                return len(data) >= HELD_BYTES or data.count(b"\n") != data.count(b"\r\n")
            self.needed = end + 4
            found = BODY.search(data, 0, end + 2)
            self.bare = found is None
            if found:
                # Without a number: the client waits for `100 Continue`, or has not said how much it will send.
                self.needed = -1 if found[1] is None else self.needed + int(found[1])
        return len(data) >= min(self.needed, HELD_BYTES)

    def more(self) -> bool:
        """Take back what gunicorn's parser read beyond the request; return whether there is any."""
        if self._parser.unreader.buf.getvalue():
            self.received = self._parser.unreader.read()
        return bool(self.received)

    def ended(self) -> bool:
        """Return whether the client said that this was its last request, and nothing is left unread."""
        message = self._parser.mesg if self.whole else None
        return message is not None and message.should_close() and not message.must_close

    @property
    def _parser(self) -> RequestParser:
        return cast(RequestParser, self.parser)


class OpaqueConnection(Connection):
    """A client whose bytes only gunicorn understands (TLS, HTTP/2, uwsgi): a thread reads its requests."""

    def init(self) -> None:
        if self.cfg.is_ssl and not self.initialized and is_plain(self.sock):
            self.sock.sendall(refusal(self.sock))
            raise NoMoreData  # gunicorn passes over this one too
        super().init()

    def receive(self) -> bool:
        self.data_ready = True
        return True

    def ready(self) -> bool:
        return self.data_ready

    def more(self) -> bool:
        buffered = self._parser.unreader.buf.getvalue()
        self.data_ready = bool(buffered) or getattr(self.sock, "pending", int)() > 0
        return self.data_ready

    def ended(self) -> bool:
        return False
