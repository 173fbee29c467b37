"""Bodies that come in chunks, as a stream.

uWSGI 2.0.30 has a reader of its own for them, which takes a length such as `zz` for the end of the body, refuses
extensions, and holds a whole chunk in memory. So the one of our runner of wsgiref reads the connection instead.
"""

import ctypes
import socket
import sys
from collections.abc import Iterator

import pyuwsgi
import uwsgi

from .http_head import Refusal
from .http_stream import ClientStream, unchunked

LARGEST_BUFFER = 2**16
"""uWSGI's, which may hold the beginning of the body behind the head."""


class Chunks:
    """The body of the request that this thread answers. `threaded` says whether there are others."""

    def __init__(self, threaded: bool) -> None:
        self._left = b""
        self._pieces = _pieces(threaded)

    def read(self, size: int) -> bytes:
        """Return some bytes, at most `size`; none at the end. Raises OSError."""
        if not self._left:
            try:
                self._left = next(self._pieces, b"")
            except (Refusal, ValueError) as error:
                raise OSError("malformed chunk") from error
        data, self._left = self._left[:size], self._left[size:]
        return data


def _pieces(threaded: bool) -> Iterator[bytes]:
    sock = _connection()
    try:
        stream = ClientStream(sock, int(uwsgi.opt.get("socket-timeout", 4)))
        stream.unread += _taken(threaded)
        yield from unchunked(stream, sys.maxsize)
    finally:
        sock.detach()  # uWSGI closes it


def _connection() -> socket.socket:
    """Return the client's connection, to wait for without keeping others waiting."""
    fd = uwsgi.connection_fd()
    if uwsgi.loop == b"gevent":
        from gevent.socket import socket as cooperative

        waiting: socket.socket = cooperative(fileno=fd)
        return waiting
    return socket.socket(fileno=fd)


def _request(library: ctypes.CDLL, threaded: bool) -> int | None:
    """Return where uWSGI 2.0.30 keeps the request that is being answered here."""
    if uwsgi.loop == b"gevent":
        from gevent import getcurrent

        address: int = getcurrent().uwsgi_wsgi_req
        return address
    current = library.threaded_current_wsgi_req if threaded else library.simple_current_wsgi_req
    current.restype = ctypes.c_void_p
    found: int | None = current()
    return found


def _taken(threaded: bool) -> bytes:
    """Return what uWSGI has read beyond the head; where that is nothing, what is there to read."""
    library = ctypes.CDLL(pyuwsgi.__file__)
    request = _request(library, threaded)
    # The first member of a request is its descriptor; in other loops the request may be another one.
    if request is None or ctypes.c_int.from_address(request).value != uwsgi.connection_fd():
        raise RuntimeError("bodies in chunks can only be read in uWSGI's own loop, and in gevent's")
    data = ctypes.create_string_buffer(LARGEST_BUFFER)
    count: int = library.uwsgi_proto_base_read_body(ctypes.c_void_p(request), data, ctypes.c_size_t(LARGEST_BUFFER))
    return data.raw[: max(0, count)]
