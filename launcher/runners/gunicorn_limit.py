"""The time that a request may take in a worker whose threads nobody can stop."""

import math
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

from gunicorn.glogging import Logger
from gunicorn.http import Request

from .gunicorn_client import ClientSocket, TLSSocket

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Running(NamedTuple):
    """A request that a thread has taken."""

    until: float
    request: Request
    sock: ClientSocket | TLSSocket


class Limit:
    """Cuts the clients of requests off that take too long.

    `spoilt` is called then, with what happened: the thread may never come back, so that the worker has to go.
    """

    def __init__(self, seconds: float, log: Logger, spoilt: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._log = log
        self._spoilt = spoilt
        self._running: dict[int, Running] = {}
        """By thread. Whoever takes one out has it to himself."""

    def begin(self, request: Request, sock: ClientSocket | TLSSocket) -> None:
        """Note that this thread takes a request."""
        if isinstance(sock, ClientSocket):
            sock.first = threading.Lock()
        self._running[threading.get_ident()] = Running(time.monotonic() + self._seconds, request, sock)

    def end(self) -> None:
        """Note that this thread is done with it."""
        self._running.pop(threading.get_ident(), None)

    def enforce(self) -> float:
        """Cut off who is over the limit; return when to look again at the latest (monotonic)."""
        now = time.monotonic()
        for thread, running in self._running.copy().items():
            if running.until <= now and self._running.pop(thread, None) is not None:
                self._cut_off(thread, running)
        return min((each.until for each in self._running.copy().values()), default=math.inf)

    def _cut_off(self, thread: int, running: Running) -> None:
        request, sock = running.request, running.sock
        frame = sys._current_frames().get(thread)
        stack = "".join(traceback.format_stack(frame)) if frame else ""
        self._log.error(
            "Request %s %s took longer than %g s: its client is cut off\n%s",
            request.method, request.path, self._seconds, stack.rstrip(),
        )  # fmt: skip
        try:
            # Whoever sends first answers.
            if isinstance(sock, ClientSocket) and sock.first and sock.first.acquire(blocking=False):
                socket.socket.send(sock, BUSY, socket.MSG_DONTWAIT)
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client has gone
        self._spoilt(f"a request took longer than {self._seconds:g} s")
