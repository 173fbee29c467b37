"""A threaded gunicorn worker that shares work fairly and does not wait for slow clients.

gunicorn's own (27.0.1) accepts as fast as it can, so that one process may end up with all kept-alive
connections while others idle; its threads wait for the bytes of a request, so that as many slow clients
stop it; and each request goes from the main thread to a pool and back. Here the threads wait on one epoll,
take one event at a time, and run a request once it has arrived.
"""

import errno
import math
import os
import random
import select
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any, cast

from gunicorn import util
from gunicorn.config import Config
from gunicorn.http import Request
from gunicorn.workers.base import Worker as BaseWorker
from gunicorn.workers.gthread import TConn, ThreadWorker

from .gunicorn import parameters
from .gunicorn_client import HELD_BYTES, ClientSocket, Connection, OpaqueConnection, TLSSocket
from .gunicorn_ledger import Ledger

TICK_S = 1.0
FRESH_S = 5.0
"""For a new client's first byte, besides `keepalive`: gunicorn 27.0.1, DEFAULT_WORKER_DATA_TIMEOUT."""
LINGER_S = 2.0
"""For a client to close after us, or to ask once more: gunicorn 27.0.1, close_graceful, STOP_KEEPALIVE_LINGER."""
YIELD_S = 0.001
"""Head start that a worker gives to those with fewer connections."""
SHED_EVERY_S = 0.01
SUCCESSION_S = 60.0
"""How long a worker that is to be replaced waits for its successors."""

ONCE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT


class Worker(ThreadWorker):
    """What `--worker-class launcher.runners.gthread.Worker` names; `gunicorn.parameters` tells what it takes."""

    ledger: Ledger

    def __init__(self, *told: Any) -> None:
        super().__init__(*told)
        # This still is the master: what is made here is shared by its workers.
        if not hasattr(Worker, "ledger"):
            Worker.ledger = Ledger()
        self.row = self.ledger.claim(self.age)

    # In the master

    @property
    def succeeded(self) -> bool:
        """Whether this worker has asked for a successor, and so has been given a place that it leaves empty."""
        return self.ledger.succeeded(self.row)

    def outdate(self, last: int) -> None:
        """Note that a reload replaces the workers up to the age of `last`."""
        self.ledger.set_succeeded(self.row, False)
        self.ledger.outdate(last)

    # At the start of a worker

    def init_process(self) -> None:
        given = parameters()
        self.client_timeout: float | None = given.get("client_timeout")
        self.max_age: float = given.get("max_worker_age") or math.inf
        self.max_memory: float = given.get("max_worker_memory") or math.inf
        self.open: set[Connection] = set()
        self.waiting: dict[int, Connection] = {}
        """By descriptor. Whoever takes a connection out has it to himself."""
        self.listeners: dict[int, tuple[socket.socket, Any]] = {}
        self.listening = self.leaving = False
        self.listening_lock = threading.Lock()
        self.accepting_lock = threading.Lock()
        self.others: list[int] = []
        self.heirs = 0
        """How many workers made after `last` are to serve before this one may go."""
        self.last = 0.0
        self.outdated = False
        self.shed_at = self.go_at = 0.0
        # gunicorn would stop accepting at once. See `worn_out`.
        self.enough, self.max_requests = self.max_requests, sys.maxsize
        self.cfg = cast(Config, Settled(self.cfg))
        self.epoll = select.epoll()
        self.bell = os.eventfd(0)
        # ThreadWorker's would make a pool.
        BaseWorker.init_process(self)

    def load_wsgi(self) -> None:
        try:
            super().load_wsgi()
        except BaseException:
            if self.ledger.first_to_fail():
                raise
            # gunicorn 27.0.1 stops, with the worker's status, when one cannot start. A second one
            # with such a status interrupts that, and makes it 1.
            sys.exit(1)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; but in a reload, only when those that it starts are there. Told twice: stop."""
        if self.age <= self.ledger.outdated() and not self.outdated:
            self.outdated = True
            self.make_way(self.cfg.workers, self.ledger.outdated())
        else:
            self.alive = False

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        self.dismiss()
        BaseWorker.handle_quit(self, sig, frame)

    # The main thread

    def run(self) -> None:
        """Keep watch while the threads work, and let them finish in the end."""
        cfg = self.cfg
        self.tls = bool(cfg.is_ssl)
        others = (cfg.protocol, "http"), (cfg.proxy_protocol, "off"), (getattr(cfg, "http2_cleartext", "off"), "off")
        opaque = self.tls or any(given != plain for given, plain in others)
        self.connection: type[Connection] = OpaqueConnection if opaque else Connection
        self.keepalive = cfg.keepalive
        for listener in self.sockets:
            listener.setblocking(False)
            self.listeners[listener.fileno()] = listener, listener.getsockname()
        self.epoll.register(self.bell, select.EPOLLIN)
        threads = [threading.Thread(target=self.work, name=f"request-{n}") for n in range(cfg.threads)]
        for thread in threads:
            thread.start()
        self.born = time.monotonic()
        # Workers that started together shall not retire together.
        self.old_at = self.born + self.max_age * random.uniform(0.9, 1.0)
        self.listen(True)
        while self.alive:
            self.tick()
        self.end(threads)

    def tick(self) -> None:
        """Do what is due every second."""
        self.notify()
        self.report()
        self.expire()
        self.others = self.ledger.others(self.row)
        if not self.is_parent_alive():
            self.alive = False
        elif not self.heirs:
            if reason := self.worn_out():
                self.log.info("Worker retires: %s", reason)
                self.make_way(1, self.ledger.youngest())
                self.ledger.set_succeeded(self.row, True)
                # One worker more, until this one ends: see `gunicorn.child_exit`.
                os.kill(self.ppid, signal.SIGTTIN)
            self.sleep(TICK_S)
        elif self.ledger.after(self.last, self.others) < self.heirs and time.monotonic() < self.go_at:
            self.sleep(0.1)
        else:
            self.alive = False

    def make_way(self, heirs: int, last: float) -> None:
        """Go when so many workers serve that were made after `last`, or after `SUCCESSION_S`."""
        self.heirs, self.last = heirs, last
        self.go_at = time.monotonic() + SUCCESSION_S

    def sleep(self, seconds: float) -> None:
        """Wait for a signal, or for a thread that rings."""
        if select.select([self.PIPE[0]], [], [], seconds)[0]:
            os.read(self.PIPE[0], 4096)

    def expire(self) -> None:
        """Close what has waited for too long."""
        now = time.monotonic()
        for descriptor, connection in self.waiting.copy().items():
            if connection.deadline <= now and self.waiting.pop(descriptor, None) is not None:
                self.drop(connection)

    def worn_out(self) -> str:
        """Return why another worker should take this one's place; mostly nothing."""
        now = time.monotonic()
        if self.nr >= self.enough:
            reason = f"after {self.nr} requests"
        elif now >= self.old_at:
            reason = f"{now - self.born:.0f} s old"
        elif self.max_memory < math.inf and (used := resident_bytes()) > self.max_memory:
            reason = f"{used} bytes of memory"
        else:
            return ""
        if any(map(self.ledger.succeeded, self.others)):
            return ""  # one after the other
        return reason

    def end(self, threads: list[threading.Thread]) -> None:
        """Accept nobody; let requests end within `graceful_timeout`, and idle clients ask once more."""
        now = time.monotonic()
        deadline = now + self.cfg.graceful_timeout
        self.listen(False)
        self.ledger.leave(self.row)
        for connection in self.waiting.copy().values():
            if not connection.received:
                connection.deadline = min(connection.deadline, now + LINGER_S)
        while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
            self.notify()
            # Not at once: a thread may have a client that it has yet to accept.
            self.sleep(0.05)
            self.expire()
            if not self.open:
                self.dismiss()
        self.dismiss()
        if any(thread.is_alive() for thread in threads):
            self.log.warning("Time is up: %d connections are cut off", len(self.open))
            os._exit(0)  # the interpreter's own end would wait for the threads

    def dismiss(self) -> None:
        """Let the threads go, each when it has done what it is doing."""
        self.leaving = True
        os.eventfd_write(self.bell, 1)

    # The threads

    def work(self) -> None:
        """Take one event after another."""
        poll = self.epoll.poll
        while not self.leaving:
            for descriptor, _ in poll(-1, 1):
                if descriptor in self.listeners:
                    connection = self.welcome(*self.listeners[descriptor])
                else:
                    connection = self.waiting.pop(descriptor, None)
                if connection is None:
                    continue
                try:
                    self.advance(connection)
                except Exception:
                    self.log.exception("Error on the connection of %s", connection.client)
                    self.drop(connection)

    def welcome(self, listener: socket.socket, name: Any) -> Connection | None:
        """Accept a client, if no other worker has."""
        if self.ledger.excess(self.row, self.others) > 0:
            time.sleep(YIELD_S)
        # One at a time: threads that the same event woke would together pass the limit.
        with self.accepting_lock:
            return self.take(listener, name) if len(self.open) < self.worker_connections else None

    def take(self, listener: socket.socket, name: Any) -> Connection | None:
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                self.log.error("Cannot accept: %s", error)
                time.sleep(0.1)
            return None
        sock = ClientSocket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        connection = self.connection(self.cfg, sock, client, name)
        if self.client_timeout:
            sock.settimeout(self.client_timeout) if self.tls else sock.limit(self.client_timeout)
        self.open.add(connection)
        self.report()
        if len(self.open) >= self.worker_connections:
            self.listen(False)
        return connection

    def listen(self, wanted: bool) -> None:
        with self.listening_lock:
            wanted = wanted and self.alive
            if wanted == self.listening:
                return
            self.listening = wanted
            for descriptor in self.listeners:
                if wanted:
                    self.epoll.register(descriptor, select.EPOLLIN)
                else:
                    self.epoll.unregister(descriptor)

    def advance(self, connection: Connection) -> None:
        """Go as far as the client has sent, and leave the connection waiting, or closed."""
        if connection.closing:
            self.linger(connection)
        elif not connection.receive():
            self.drop(connection)
        else:
            while connection.ready():
                if not self.handle(connection):
                    self.close(connection)
                    return
                if not connection.more():
                    break
            self.wait(connection)

    def wait(self, connection: Connection) -> None:
        """Come back when the client has sent more, or when it has not for too long."""
        now = time.monotonic()
        if connection.closing:
            pass  # its deadline stands
        elif not connection.received:
            idle = self.keepalive if connection.initialized else self.client_timeout or FRESH_S + self.keepalive
            connection.deadline = now + (idle if self.alive else min(idle, LINGER_S))
        elif connection.needed or not connection.begun:
            # A head has one such time for all of it; a body, as long as it moves.
            connection.begun = True
            connection.deadline = now + (self.client_timeout or math.inf)
        descriptor = connection.sock.fileno()
        self.waiting[descriptor] = connection
        if connection.armed:
            self.epoll.modify(descriptor, ONCE)
        else:
            connection.armed = True
            self.epoll.register(descriptor, ONCE)

    def close(self, connection: Connection) -> None:
        """Close once the client has, unless it told us to: a reset could take the answer away from it."""
        if not connection.ended():
            try:
                connection.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            else:
                connection.closing = True
                connection.deadline = time.monotonic() + LINGER_S
                self.wait(connection)
                return
        self.drop(connection)

    def linger(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(HELD_BYTES, socket.MSG_DONTWAIT)
        except OSError:
            data = b""
        if data:
            self.wait(connection)
        else:
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        self.open.discard(connection)
        util.close(connection.sock)
        self.report()
        if self.alive:
            if not self.listening and len(self.open) < self.worker_connections:
                self.listen(True)
        else:
            self.ring()

    def ring(self) -> None:
        """Wake the main thread."""
        try:
            os.write(self.PIPE[1], b".")
        except BlockingIOError:
            pass  # it has enough to wake up for

    def report(self) -> None:
        if self.alive:
            self.ledger.write(self.row, len(self.open))

    def handle(self, conn: TConn) -> bool:
        try:
            kept = super().handle(conn)
        except BaseException as error:
            # An application that calls sys.exit() ends its request, not our thread.
            self.handle_error(None, conn.sock, conn.client, error)
            return False
        try:
            cast(ClientSocket | TLSSocket, conn.sock).flush()
        except OSError:
            return False  # the client has gone
        return kept

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Skip, where there is no body, the reading of its rest; gunicorn 26.2 and later call this."""
        if conn.whole and conn.bare:
            return keepalive
        return bool(super()._keepalive_after(conn, keepalive))  # type: ignore[misc]  # not in the stubs of 26.2

    def handle_request(self, req: Request, conn: TConn) -> bool:
        now = time.monotonic()
        if now >= self.shed_at and self.ledger.excess(self.row, self.others) > 1:
            # The client will come back, and to a worker that holds fewer.
            self.shed_at = now + SHED_EVERY_S
            req.force_close()
        kept = super().handle_request(req, conn)
        if self.nr >= self.enough and not self.heirs:
            self.ring()
        return kept


class Settled:
    """gunicorn's settings, each looked up once: 27.0.1 does so two dozen times for every request, through two calls."""

    def __init__(self, cfg: Config) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._cfg, name)
        setattr(self, name, value)
        return value


def resident_bytes() -> int:
    """Return this process's resident memory. Source: proc_pid_statm(5)."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
