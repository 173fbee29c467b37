"""A threaded gunicorn worker that shares work fairly and does not wait for slow clients.

gunicorn's own (27.0.1) accepts as fast as it can, so that one process may end up with all kept-alive
connections while others idle; its threads wait for the bytes of a request, so that as many slow clients
stop it; and each request goes from the main thread to a pool and back. Here the threads wait on one epoll,
take one event at a time, and run a request once it has arrived.
"""

import math
import os
import random
import select
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from gunicorn import sock
from gunicorn.config import Config
from gunicorn.http import Request
from gunicorn.workers.base import Worker as BaseWorker
from gunicorn.workers.gthread import TConn, ThreadWorker

from ..application import DEVELOP
from ..loading import in_time
from ..sockets import SOCKETS_STAY
from .gunicorn import parameters
from .gunicorn_client import ClientSocket, Connection, TLSSocket
from .gunicorn_clients import Clients
from .gunicorn_head import settle
from .gunicorn_limit import Limit
from .memory import Memory

if TYPE_CHECKING:
    from .gunicorn_place import Place

TICK_S = 1.0
SHED_EVERY_S = 0.01
DRAINED = 2**16
"""Bytes of an unread body after which gunicorn reads no more of it once it has answered (27.0.1)."""
STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Blocked from a worker's fork until it begins to load the application: before, it would lose them."""


class Worker(ThreadWorker):
    """What `--worker-class launcher.runners.gthread.Worker` names; `gunicorn.parameters` tells what it takes."""

    pid: int  # type: ignore[assignment]  # the stubs of 26.2 have what it is before the fork
    place: "Place"
    """Given by the main process before the fork."""
    going = False
    """In the main process: whether another worker is to take its place."""
    told = False
    """In the main process: whether it was told to go."""

    # At the start of a worker

    def init_process(self) -> None:
        given = parameters()
        self.client_timeout: float | None = given.get("client_timeout")
        self.max_age: float = given.get("max_worker_age") or math.inf
        self.max_memory: float = given.get("max_worker_memory") or math.inf
        self.memory = Memory() if self.max_memory < math.inf else None
        seconds = given.get("request_timeout")
        self.limit = Limit(seconds, self.log, self.retire) if seconds else None
        self.others: list[int] = []
        self.shed_at = 0.0
        # gunicorn would stop accepting at once. See `worn_out`.
        self.enough, self.max_requests = self.max_requests, sys.maxsize
        self.cfg = cast(Config, Settled(self.cfg))
        # ThreadWorker's would make a pool.
        BaseWorker.init_process(self)

    def init_signals(self) -> None:
        super().init_signals()
        # gunicorn 27.0.1 would have it end the worker, and a terminal that closes sends it to every process.
        signal.signal(signal.SIGHUP, lambda sig, frame: None)

    def load_wsgi(self) -> None:
        # It has nothing to finish yet, and an import may take long.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
        try:
            with in_time():
                super().load_wsgi()
            if self.cfg.is_ssl:
                sock.ssl_context(self.cfg)  # made before anybody comes
        except BaseException as error:
            if not self.place.ledger.served():
                raise
            if not isinstance(error, SystemExit):
                self.log.exception("The application or its certificate cannot be loaded")
            sys.exit(1)  # gunicorn 27.0.1 would end with all that serve, on the status that this error has
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.siginterrupt(signal.SIGTERM, False)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.alive = False

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        ignore_stop()
        if self.booted:
            self.clients.dismiss()
        try:
            BaseWorker.handle_quit(self, sig, frame)
        finally:
            if DEVELOP in os.environ and threading.active_count() > 1:
                os._exit(0)  # Ctrl-C waits for nobody, and the interpreter's end would

    # The main thread

    def run(self) -> None:
        """Keep watch while the threads work, and let them finish in the end."""
        self.clients = Clients(self)
        threads = [
            threading.Thread(target=self.clients.work, name=f"request-{number}") for number in range(self.cfg.threads)
        ]
        threads[0].start()
        self.born = time.monotonic()
        # Workers that started together shall not retire together.
        self.old_at = self.born + self.max_age * random.uniform(0.9, 1.0)
        self.clients.listen()
        self.report()
        self.notify()  # gunicorn 27.0.1 takes a worker for young for ever until it has done so
        self.clients.call()
        self.place.ready()
        for thread in threads[1:]:
            thread.start()  # which waits until it runs: the first request need not
        try:
            while self.alive:
                self.tick()
            self.end(threads)
        finally:
            self.clients.dismiss()  # the interpreter's end waits for the threads, and they would go on accepting

    def tick(self) -> None:
        """Do what is due every second."""
        self.notify()
        self.report()
        self.clients.expire()
        self.clients.call()
        place = self.place
        place.board.count(place.row, self.nr)
        self.others = place.ledger.others(place.row)
        if not self.is_parent_alive():
            if not os.environ.get(SOCKETS_STAY):
                place.ledger.stop()  # nobody is left who could make another worker
            self.alive = False
            return
        if reason := self.worn_out():
            self.retire(reason)
        self.sleep(min(TICK_S, self.timeout or TICK_S))

    def retire(self, reason: str) -> None:
        """Ask for another worker, which is to take this one's place once it is ready."""
        if not self.place.worn():
            self.log.info("Worker retires: %s", reason)
            self.place.wear_out()

    def sleep(self, seconds: float) -> None:
        """Wait for a signal, for a thread that rings, or until a request has taken too long."""
        if self.limit:
            seconds = max(0.0, min(seconds, self.limit.enforce() - time.monotonic()))
        if select.select([self.PIPE[0]], [], [], seconds)[0]:
            os.read(self.PIPE[0], 4096)

    def worn_out(self) -> str:
        """Return why another worker should take this one's place; mostly nothing."""
        now = time.monotonic()
        if self.nr >= self.enough:
            return f"after {self.nr} requests"
        if now >= self.old_at:
            return f"{now - self.born:.0f} s old"
        if self.memory and (used := self.memory.resident()) > self.max_memory:
            return f"{used} bytes of memory"
        return ""

    def end(self, threads: list[threading.Thread]) -> None:
        """Accept nobody; let requests end within `graceful_timeout`, and idle clients ask once more."""
        deadline = time.monotonic() + self.cfg.graceful_timeout
        # With reuse_port each worker has a queue of its own.
        self.clients.leave(last=self.place.ledger.stopping() or self.cfg.reuse_port)
        self.place.leave()
        while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
            self.notify()
            # Not at once: a thread may have a client that it has yet to accept.
            self.sleep(0.05)
            self.clients.expire()
            if not self.clients.open:
                self.clients.dismiss()
        self.clients.dismiss()
        if any(thread.is_alive() for thread in threads):
            self.log.warning("Time is up: %d connections are cut off", len(self.clients.open))
            os._exit(0)  # the interpreter's own end would wait for the threads
        if threading.active_count() == 1:
            ignore_stop()
        else:
            threading.Thread(target=give_up_at, args=(deadline,), daemon=True).start()

    # For the threads

    def ring(self) -> None:
        """Wake the main thread."""
        try:
            os.write(self.PIPE[1], b".")
        except BlockingIOError:
            pass  # it has enough to wake up for

    def show(self) -> None:
        """Show that requests are taken."""
        self.place.board.show(self.place.row)

    def excess(self) -> float:
        """Return how many connections this worker has more than the one with the fewest."""
        return self.place.ledger.excess(self.place.row, self.others)

    def report(self) -> None:
        if self.alive:
            self.place.ledger.write(self.place.row, len(self.clients.open))

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
        if isinstance(req, Request):  # rather than one of the uwsgi protocol, which a front server has read
            settle(req)
        now = time.monotonic()
        if now >= self.shed_at and self.excess() > 1:
            # The client will come back, and to a worker that holds fewer.
            self.shed_at = now + SHED_EVERY_S
            req.force_close()
        elif not req.must_close:
            req.must_close = cast(bool, LastRequest(self, req))
        if self.limit:
            self.limit.begin(req, cast(ClientSocket | TLSSocket, conn.sock))
        try:
            kept = super().handle_request(req, conn)
        finally:
            if self.limit:
                self.limit.end()
        if self.nr >= self.enough and not self.place.worn():
            self.ring()
        return kept


def ignore_stop() -> None:
    """Hear no more of a stop: it would end the process in the midst of its own end, and gunicorn speak of that."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)


def give_up_at(deadline: float) -> None:
    """End the process then (monotonic), though the application has left threads, for which its own end would wait."""
    time.sleep(max(0.0, deadline - time.monotonic()))
    os._exit(0)


class LastRequest:
    """Whether a request is its connection's last: true if, when the answer's head is made, the worker is leaving, or
    more of the body is left than will be read for the sake of the next request.

    gunicorn 27.0.1 would decide when the request begins: an answer that takes long would keep, in a server that
    stops, a connection that is about to be closed. Of a body it knows only after the answer.
    """

    __slots__ = ("_asked", "_decided")

    def __init__(self, worker: Worker, req: Request) -> None:
        self._asked: tuple[Worker, Request] | None = worker, req
        self._decided = False

    def __bool__(self) -> bool:
        if self._asked is not None:
            (worker, req), self._asked = self._asked, None
            unread = getattr(getattr(req.body, "reader", None), "length", 0)
            self._decided = not worker.alive or unread >= DRAINED
        return self._decided


class Settled:
    """gunicorn's settings, each looked up once: 27.0.1 does so two dozen times for every request, through two calls."""

    def __init__(self, cfg: Config) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._cfg, name)
        setattr(self, name, value)
        return value
