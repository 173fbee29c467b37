"""The standard library's WSGI server in a worker, made threaded.

It is meant for development: small and correct rather than fast. Connections that wait for a request cost no
thread; a thread of the pool takes one from its first byte to the end of its answer.
"""

import logging
import queue
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from wsgiref.types import WSGIApplication

from ..errors import Exit, Finding, LaunchError
from ..tls import faults
from . import door
from .arguments import WsgirefOptions
from .duties import Duties
from .http_connection import Connection, Limits
from .inbox import has_input
from .signals import Signals
from .worker import Serve

MAX_HEADER_SIZE = 65536
MAX_BODY_SIZE = 2**30

LOOP_S = 1.0
PAUSE_S = 0.5
"""How long nobody is accepted after the process ran out of descriptors or memory."""

logger = logging.getLogger("launcher.runner")


class Server:
    """A loop that accepts, and waits with idle connections, and a pool of threads that answer."""

    def __init__(
        self,
        application: WSGIApplication,
        listeners: Sequence[socket.socket],
        signals: Signals,
        duties: Duties,
        options: WsgirefOptions,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.application = application
        self.listeners = listeners
        self.signals = signals
        self.duties = duties
        self.graceful_timeout = options.graceful_timeout
        self.tls = tls
        self.limits = Limits(
            options.client_timeout,
            options.keepalive,
            options.max_request_line,
            MAX_HEADER_SIZE if options.max_header_size is None else options.max_header_size,
            MAX_BODY_SIZE if options.max_body_size is None else options.max_body_size,
        )
        self.draining = False
        self._first_request_s = options.client_timeout
        self._next_request_s = options.keepalive
        self._working = 0
        self._idle: set[Connection] = set()
        self._ready: queue.SimpleQueue[Connection | Callable[[], None] | None] = queue.SimpleQueue()
        self._attended: deque[Connection] = deque()
        self._accept_again = 0.0
        self._selector = selectors.DefaultSelector()
        self._threads: list[threading.Thread] = []
        self._most_threads = options.threads

    def run(self) -> int:
        """Serve until told to stop and done; return how many connections were cut off."""
        self._selector.register(self.signals, selectors.EVENT_READ)
        self._selector.register(self.signals.lifeline, selectors.EVENT_READ)
        for listener in self.listeners:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, listener)
        while not self.signals.stop:
            self._turn()
        self._drain()
        self.duties.leave()
        while (self._working or self._idle) and time.monotonic() < (deadline := self._deadline()):
            self._turn(deadline)
        for _ in self._threads:
            self._ready.put(None)
        return self._working

    def _deadline(self) -> float:
        return self.signals.deadline(self.graceful_timeout)

    def _work(self) -> None:
        while (connection := self._ready.get()) is not None:
            if not isinstance(connection, Connection):
                connection()
                continue
            try:
                connection.attend(self.application, lambda: self.draining)
            except OSError as error:
                logger.debug("connection lost: %s", error)
            except BaseException:
                logger.exception("connection lost")
            self._attended.append(connection)
            self.signals.wake()

    def _turn(self, deadline: float | None = None) -> None:
        """Wait for something to happen, and deal with it."""
        now = time.monotonic()
        ends = [*([deadline] if deadline else []), *(self._end_of_patience(each) for each in self._idle)]
        if self._accept_again:
            ends.append(self._accept_again)
        wait = min([LOOP_S, self.duties.longest_wait(), *(end - now for end in ends)])
        for key, _ in self._selector.select(max(0.0, wait)):
            if key.fileobj is self.signals:
                self.signals.clear()
            elif key.fd == self.signals.lifeline:
                self._selector.unregister(self.signals.lifeline)
                self.signals.orphaned()
            elif isinstance(key.data, Connection):
                self._selector.unregister(key.fileobj)
                self._idle.discard(key.data)
                self._hand_over(key.data)
            elif not self._accept_again:
                self.duties.give_way(self._held)
                if self._accept(key.data) is None:
                    self._pause()
        while self._attended:
            self._take_back(self._attended.popleft())
        self.duties.turn(self._submit, self._held)
        now = time.monotonic()
        for connection in [each for each in self._idle if self._end_of_patience(each) <= now]:
            if has_input(connection.sock):
                continue  # what has come just now is to be answered
            self._selector.unregister(connection.sock)
            self._idle.discard(connection)
            connection.close()
        if self._accept_again and now >= self._accept_again:
            self._resume()

    @property
    def _held(self) -> int:
        return self._working + len(self._idle)

    def _end_of_patience(self, connection: Connection) -> float:
        if connection.answered:
            return connection.idle_since + self._next_request_s
        return connection.idle_since + self._first_request_s

    def _hand_over(self, connection: Connection) -> None:
        self._submit(connection)
        self._working += 1

    def _submit(self, work: Connection | Callable[[], None]) -> None:
        """Have a thread do something. They come when they are needed: eight at once would delay the first answer."""
        if self._working >= len(self._threads) < self._most_threads:
            thread = threading.Thread(target=self._work, name=f"wsgiref-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no room for it: those that are here have more to do
                if not self._threads:
                    raise
            else:
                self._threads.append(thread)
        self._ready.put(work)

    def _take_back(self, connection: Connection) -> None:
        self._working -= 1
        self.duties.requests += connection.took
        if not connection.open:
            return
        if connection.has_input:
            self._hand_over(connection)
        else:
            self._wait_for(connection)

    def _wait_for(self, connection: Connection) -> None:
        self._idle.add(connection)
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)

    def _accept(self, listener: socket.socket) -> bool | None:
        """Take one connection; return whether there was one, None where the process has no room for it."""
        try:
            sock, peer = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:
            logger.warning("cannot accept: %s", error)
            return None
        try:
            connection = Connection(sock, peer, self.limits, self.tls)
        except OSError:
            sock.close()  # it has gone already
        else:
            self._wait_for(connection)
        return True

    def _pause(self) -> None:
        """Accept nobody for a while."""
        self._accept_again = time.monotonic() + PAUSE_S
        for listener in self.listeners:
            self._selector.unregister(listener)

    def _resume(self) -> None:
        self._accept_again = 0.0
        for listener in self.listeners:
            self._selector.register(listener, selectors.EVENT_READ, listener)

    def _drain(self) -> None:
        """Listen no more; first take the connections that the kernel has accepted for us."""
        self.draining = True
        self._next_request_s = min(self._next_request_s, self.signals.next_request_s())
        self._first_request_s = min(self._first_request_s, self.signals.first_request_s())
        if not self._accept_again:
            self._pause()
        self._accept_again = 0.0
        for listener in self.listeners:
            while self.signals.takes_backlog and self._accept(listener):
                pass
            listener.close()
        for connection in self._idle:
            door.hear(connection.sock)


def tls_context(options: WsgirefOptions) -> ssl.SSLContext | None:
    """Return how TLS is to be spoken; None without a certificate. Raises LaunchError."""
    cert, key, ca, client = options.tls_cert, options.tls_key, options.tls_ca, options.tls_client_cert
    if cert is None:
        if key or ca or client:
            raise _tls_refusal("--tls-key, --tls-ca and --tls-client-cert say nothing without --tls-cert")
        return None
    if bool(ca) != bool(client):
        raise _tls_refusal("--tls-ca and --tls-client-cert need each other")
    if found := faults(cert, key, ca):
        raise LaunchError(*(fault.finding() for fault in found))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key)
    if ca:
        context.load_verify_locations(ca)
    if client:
        context.verify_mode = ssl.CERT_REQUIRED if client == "required" else ssl.CERT_OPTIONAL
    return context


def _tls_refusal(message: str) -> LaunchError:
    return LaunchError(Finding("tls-refused", message, status=Exit.USAGE))


def prepare(options: WsgirefOptions) -> Serve:
    """Read the certificates. Raises LaunchError."""
    tls = tls_context(options)
    return lambda application, sockets, signals, duties: Server(
        application, sockets, signals, duties, options, tls
    ).run()
