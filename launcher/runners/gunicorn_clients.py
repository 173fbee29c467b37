"""The connections of one worker: an epoll that its threads wait on, each taking one event at a time."""

import errno
import math
import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from gunicorn import util

from ..application import DEVELOP
from ..sockets import SOCKETS_OURS
from . import door
from .gunicorn_client import HELD_BYTES, ClientSocket, Connection, OpaqueConnection
from .inbox import has_input
from .signals import OVERTAKEN_FIRST_S, OVERTAKEN_S

if TYPE_CHECKING:
    from .gthread import Worker

FRESH_S = 5.0
"""For a new client's first byte, besides `keepalive`: gunicorn 27.0.1, DEFAULT_WORKER_DATA_TIMEOUT."""
LINGER_S = 2.0
"""For a client to close after us: gunicorn 27.0.1, close_graceful."""
STOP_S = 2.0
"""For a client to ask something of a server that stops: gunicorn 27.0.1, STOP_KEEPALIVE_LINGER."""
FIRST_S, ONCE_MORE_S = (OVERTAKEN_FIRST_S, OVERTAKEN_S) if DEVELOP in os.environ else (STOP_S, STOP_S)
"""The same for the first time and for another."""
YIELD_S = 0.001
"""Head start that a worker gives to those with fewer connections."""

ONCE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT


class Clients:
    """Who is connected to a worker, and what each waits for."""

    def __init__(self, worker: "Worker") -> None:
        cfg = worker.cfg
        self.worker = worker
        self.open: set[Connection] = set()
        self._waiting: dict[int, Connection] = {}
        """By descriptor. Whoever takes a connection out has it to himself."""
        self._limit: int = worker.worker_connections
        self._keepalive: float = cfg.keepalive
        self._timeout: float | None = worker.client_timeout
        self._tls = bool(cfg.is_ssl)
        others = (cfg.protocol, "http"), (cfg.proxy_protocol, "off"), (getattr(cfg, "http2_cleartext", "off"), "off")
        opaque = self._tls or any(given != plain for given, plain in others)
        self._connection: type[Connection] = OpaqueConnection if opaque else Connection
        self._listeners: dict[int, tuple[socket.socket, Any]] = {}
        for listener in worker.sockets:
            listener.setblocking(False)
            self._listeners[listener.fileno()] = listener, listener.getsockname()
        self._listening = self._leaving = self._exhausted = False
        self._listening_lock = threading.Lock()
        self._accepting_lock = threading.Lock()
        self._epoll = select.epoll()
        self._bell = os.eventfd(0)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._canary = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Each write wakes one thread, and nobody has to read.
        self._epoll.register(self._canary, select.EPOLLIN | select.EPOLLET)

    # For the main thread

    def listen(self) -> None:
        """Listen while there is room: whoever changes what decides that comes by here afterwards."""
        with self._listening_lock:
            wanted = self.worker.alive and len(self.open) < self._limit and not self._exhausted
            if wanted == self._listening:
                return
            self._listening = wanted
            for descriptor in self._listeners:
                if wanted:
                    self._epoll.register(descriptor, select.EPOLLIN)
                else:
                    self._epoll.unregister(descriptor)

    def call(self) -> None:
        """Have a thread that waits for requests show a sign of life."""
        os.eventfd_write(self._canary, 1)

    def expire(self) -> None:
        """Close what has waited for too long."""
        self._exhausted = False
        self.listen()
        now = time.monotonic()
        for descriptor, connection in self._waiting.copy().items():
            if connection.deadline > now or (connection.silent and has_input(connection.sock)):
                continue  # what has come just now is to be answered
            found = self._waiting.pop(descriptor, None)
            if found is connection:
                self._drop(connection)
            elif found is not None:
                self._wait(found)  # a new one, which has the descriptor of one that a thread closed meanwhile

    def leave(self, *, last: bool) -> None:
        """Accept nobody any more; with `last`, nobody else does, so take those whom the kernel has accepted."""
        self.listen()
        ours = SOCKETS_OURS in os.environ or self.worker.cfg.reuse_port
        with self._accepting_lock:
            for listener, name in self._listeners.values():
                if last:
                    if ours:
                        door.shut(listener)
                    self._take_backlog(listener, name)
                listener.close()
            self._listeners = {}
        for connection in self.open.copy():
            door.hear(connection.sock)
        now = time.monotonic()
        for connection in self._waiting.copy().values():
            if not connection.received:
                connection.deadline = min(connection.deadline, now + _patience_s(connection))

    def _take_backlog(self, listener: socket.socket, name: Any) -> None:
        for _ in range(self.worker.cfg.backlog):
            connection = self._take(listener, name)
            if connection is None:
                break
            self._wait(connection)

    def dismiss(self) -> None:
        """Let the threads go, each when it has done what it is doing."""
        self._leaving = True
        os.eventfd_write(self._bell, 1)

    # The threads

    def work(self) -> None:
        """Take one event after another."""
        poll = self._epoll.poll
        while not self._leaving:
            for descriptor, _ in poll(-1, 1):
                if descriptor in self._listeners:
                    connection = self._welcome(descriptor)
                else:
                    connection = self._waiting.pop(descriptor, None)
                if connection is None:
                    if descriptor == self._canary:
                        self.worker.show()
                    continue
                try:
                    self._advance(connection)
                except Exception:
                    self.worker.log.exception("Error on the connection of %s", connection.client)
                    self._drop(connection)

    def _welcome(self, descriptor: int) -> Connection | None:
        """Accept a client, if no other worker has."""
        if self.worker.excess() > 0:
            time.sleep(YIELD_S)
        # One at a time: threads that the same event woke would together pass the limit.
        with self._accepting_lock:
            if self._exhausted or len(self.open) >= self._limit or descriptor not in self._listeners:
                return None
            return self._take(*self._listeners[descriptor])

    def _take(self, listener: socket.socket, name: Any) -> Connection | None:
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                self.worker.log.error("Cannot accept: %s", error)
                self._exhausted = True  # until somebody goes, or for a second
                self.listen()
            return None
        sock = ClientSocket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        connection = self._connection(self.worker.cfg, sock, client, name)
        if self._timeout:
            sock.settimeout(self._timeout) if self._tls else sock.limit(self._timeout)
        self.open.add(connection)
        self.worker.report()
        if len(self.open) >= self._limit:
            self.listen()
        return connection

    def _advance(self, connection: Connection) -> None:
        """Go as far as the client has sent, and leave the connection waiting, or closed."""
        if connection.closing:
            self._linger(connection)
        elif not connection.receive():
            self._drop(connection)
        else:
            while connection.ready():
                if not self.worker.handle(connection):
                    self._close(connection)
                    return
                if not connection.more():
                    break
            self._wait(connection)

    def _wait(self, connection: Connection) -> None:
        """Come back when the client has sent more, or when it has not for too long."""
        now = time.monotonic()
        if connection.closing:
            pass  # its deadline stands
        elif not connection.received:
            idle = self._keepalive if connection.initialized else self._timeout or FRESH_S + self._keepalive
            connection.deadline = now + (idle if self.worker.alive else min(idle, _patience_s(connection)))
        elif connection.needed or not connection.begun:
            # A head has one such time for all of it; a body, as long as it moves.
            connection.begun = True
            connection.deadline = now + (self._timeout or math.inf)
        descriptor = connection.sock.fileno()
        self._waiting[descriptor] = connection
        if connection.armed:
            self._epoll.modify(descriptor, ONCE)
        else:
            connection.armed = True
            self._epoll.register(descriptor, ONCE)

    def _close(self, connection: Connection) -> None:
        """Close once the client has, unless it told us to: a reset could take the answer away from it."""
        try:
            # Also before close(): a process that the application has forked may hold the connection open.
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        else:
            if not connection.ended():
                connection.closing = True
                connection.deadline = time.monotonic() + LINGER_S
                self._wait(connection)
                return
        self._drop(connection)

    def _linger(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(HELD_BYTES, socket.MSG_DONTWAIT)
        except OSError:
            data = b""
        if data:
            self._wait(connection)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self.open.discard(connection)
        util.close(connection.sock)
        self.worker.report()
        self._exhausted = False
        self.listen()
        if not self.worker.alive:
            self.worker.ring()


def _patience_s(connection: Connection) -> float:
    """Return how long a stop waits for a client to ask."""
    return ONCE_MORE_S if connection.initialized else FIRST_S
