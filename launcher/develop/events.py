"""Tell pages in the browser what they are made by now, for them to load anew once it is something else.

A page carries the state it was made in; the script asks for the present one, as server-sent events.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..instance import started
from .channel import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

SCRIPT = "/-serve/live.js"
EVENTS = "/-serve/events"

POLL_S = 0.2
"""How late a change, or a stop of the server, may be noticed."""
BREATH_S = 1.0
"""How often something is sent, so that a client that has gone is noticed."""
LONGEST_S = 25.0
"""Age at which a stream ends: it is a request like others, and request_timeout may count it."""
SOON_MS = 200
LATER_MS = 1000
"""When the browser asks again: after a stream has ended, and where there was no thread for one."""


class Events:
    """The paths of the script and of its events.

    `state` returns what pages are made by, in characters that need no quotes. A stream takes a thread, so a worker
    holds only `streams` of them: further ones are told the state, and to ask again.
    """

    def __init__(self, state: Callable[[], str], streams: int) -> None:
        self.state = state
        self._places = threading.Semaphore(streams)

    def tag(self, base: str) -> bytes:
        """Return what makes a page listen; `base` is where the site is mounted, as SCRIPT_NAME has it."""
        source = quote(base.encode("latin-1")) + SCRIPT
        return f'<script async src="{source}" data-state="{self.state()}"></script>\n'.encode()

    def answer(self, path: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        """Answer for one of the two paths; None for any other."""
        body: Iterable[bytes]
        if path == SCRIPT:
            kind, body = "text/javascript; charset=utf-8", _script()
        elif path == EVENTS:
            kind, body = "text/event-stream; charset=utf-8", self._stream(environ)
        else:
            return None
        headers = [("Content-Type", kind), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")]
        start_response("200 OK", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else body

    def _stream(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        if "uwsgi.version" in environ:
            return HandedOver(self)
        # waitress 3.0.2 writes a line to its log when an application sends to a client that has gone.
        return self._in_place(environ.get("waitress.client_disconnected", lambda: False))

    def _in_place(self, gone: Callable[[], bool]) -> Iterator[bytes]:
        if not self._places.acquire(blocking=False):
            yield _event(self.state(), LATER_MS)
            return
        try:
            yield from self.follow(gone)
        finally:
            self._places.release()

    def follow(self, gone: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the state at once and whenever it is another one, until nobody is to be told any more."""
        said = ""
        end = time.monotonic() + LONGEST_S
        breath = 0.0
        while (now := time.monotonic()) < end and not (gone() or stopping()):
            state = self.state()
            if state != said or now >= breath:
                yield _event(state, SOON_MS) if state != said else b":\n\n"
                said, breath = state, now + BREATH_S
            time.sleep(POLL_S)


class HandedOver:
    """A stream with a thread of its own, on a copy of the connection: uWSGI closes the one it has.

    A worker that was told to stop waits for its requests, and has no way to tell them (uWSGI 2.0.30). To it this one
    has ended; the thread ends with the process.
    """

    def __init__(self, events: Events) -> None:
        self._events = events

    def __iter__(self) -> Iterator[bytes]:
        yield b":\n\n"  # with it the head is sent

    def close(self) -> None:
        import uwsgi

        sock = socket.socket(fileno=os.dup(uwsgi.connection_fd()))
        threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock: socket.socket) -> None:
        with sock:
            sock.setblocking(False)
            try:
                for piece in self._events.follow(lambda: _has_gone(sock)):
                    sock.sendall(piece)
            except OSError:
                return  # it has gone, or does not read


def _has_gone(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False


def _event(state: str, retry_ms: int) -> bytes:
    return f"retry: {retry_ms}\ndata: {state}\n\n".encode()


def _script() -> list[bytes]:
    with open(os.path.join(os.path.dirname(__file__), "live.js"), "rb") as file:
        return [file.read()]


def stopping() -> bool:
    """Whether this worker was told to stop; whose method handles the signal knows.

    That is our gunicorn worker, `alive` until then, or the Signals of our runners, whose `stop` is the signal.
    """
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    stop = getattr(owner, "stop", 0)
    # Of somebody else's it may be a method.
    return (isinstance(stop, int) and bool(stop)) or not getattr(owner, "alive", True)


def server_state() -> str:
    """Return what stands for the code that this server runs, and for what has changed since it loaded it."""
    channel = Channel.of(os.environ)
    return f"{_start()}-{channel.size() if channel else 0}"


@cache
def _start() -> str:
    """Return what all workers of one start have in common: a page may come from one, and its events from another."""
    parent = os.getppid()
    return f"{parent}-{started(parent)}"
