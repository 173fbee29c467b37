"""waitress in a worker: HTTP is its own. From us come sockets, signals, stop and timeouts.

waitress 3.0.2 has one timeout for everything, looks at it every 30 s, dies on TERM and drops what is queued on INT.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from wsgiref.types import WSGIApplication

# waitress 3.0.2 ships no types.
from waitress import wasyncore  # type: ignore[import-untyped]
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]
from waitress.server import TcpWSGIServer, UnixWSGIServer  # type: ignore[import-untyped]
from waitress.task import ThreadedTaskDispatcher  # type: ignore[import-untyped]

from ..errors import Exit, Finding, LaunchError, hint_at
from ..middleware.head import without_body_to_head
from . import door
from .arguments import WaitressOptions
from .duties import Duties
from .signals import Signals
from .waitress_channel import Channel, Limits
from .worker import Serve

Files = dict[int, Any]

MAINTENANCE_S = 0.2
"""How late a timeout may be noticed."""
LOOP_S = 1.0
PAUSE_S = 0.5
"""How long nobody is accepted after the process ran out of descriptors or memory."""

OURS = {
    **dict.fromkeys(("host", "port", "ipv4", "ipv6", "listen", "sockets", "unix_socket"), "--bind"),
    "unix_socket_perms": "--socket-mode",
    "threads": "--threads",
    "backlog": "--backlog",
    "connection_limit": "--max-connections",
    "channel_timeout": "--keepalive and --client-timeout",
    "max_request_header_size": "--max-header-size",
    "max_request_body_size": "--max-body-size",
}
"""Settings of waitress that flags of ours stand for."""
WITHOUT_EFFECT = ("cleanup_interval", "asyncore_loop_timeout")
"""Settings of a loop that is not run here."""

logger = logging.getLogger("launcher.runner")


class Tally:
    """Counts what several threads do."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.count += 1


class Call:
    """Something that a thread of waitress's is to call."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.service = function

    def cancel(self) -> None:
        pass


class Listener:
    """What our listeners add to waitress's."""

    channel_class = Channel
    limits: Limits
    tally: Tally
    give_way: Callable[[], None]
    active_channels: dict[int, Channel]
    accept_again = 0.0

    def readable(self) -> bool:
        return time.monotonic() >= self.accept_again and bool(super().readable())  # type: ignore[misc]  # see below

    def accept(self) -> Any:
        try:
            return super().accept()  # type: ignore[misc]  # without types its base is Any
        except OSError as error:
            # waitress 3.0.2 would try again at once, with a traceback each time.
            logger.warning("cannot accept: %s", error)
            self.accept_again = time.monotonic() + PAUSE_S
            return None

    def handle_accept(self) -> None:
        self.give_way()
        super().handle_accept()  # type: ignore[misc]  # of waitress's class beside this one

    def maintenance(self, now: float) -> None:
        """Close whom we have waited for long enough."""
        # A copy: a thread that sends `100 Continue` to a client that has gone closes the channel itself.
        for channel in list(self.active_channels.values()):
            if self.limits.overdue(channel, now) and not channel.asks:
                # waitress's own `will_close` waits for the client to read (3.0.2).
                channel.handle_close()


class TcpListener(Listener, TcpWSGIServer):  # type: ignore[misc]
    """Serves one TCP socket."""


class UnixListener(Listener, UnixWSGIServer):  # type: ignore[misc]
    """Serves one unix socket."""

    def getsockname(self) -> tuple[str, int]:
        return "localhost", 80  # waitress would give its path for a port

    def fix_addr(self, addr: object) -> tuple[str, str]:
        return "", ""  # REMOTE_ADDR and REMOTE_PORT


class Wake(wasyncore.file_dispatcher):  # type: ignore[misc]
    """Calls a function when a descriptor is readable, and so lets a signal end the wait of the loop."""

    def __init__(self, descriptor: int, call: Callable[[], None], files: Files) -> None:
        super().__init__(descriptor, files)
        self.call = call

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        self.call()

    def handle_close(self) -> None:
        self.call()  # the other end of a pipe has gone


def settings(options: WaitressOptions, listeners: int) -> dict[str, Any]:
    """Return the settings of waitress for our flags. Raises LaunchError for a native one that cannot be."""
    values: dict[str, Any] = dict(options.native)
    for key, value in values.items():
        if key in OURS:
            raise _refusal(f"native setting '{key}' is {OURS[key]} here")
        if key in WITHOUT_EFFECT:
            raise _refusal(f"native setting '{key}' has no effect: the runner has a loop of its own")
        known: Mapping[str, Callable[[str], object]] = Adjustments._param_map
        if key not in known:
            names = sorted(set(known) - set(OURS) - set(WITHOUT_EFFECT))
            raise _refusal(f"waitress has no setting '{key}'", hint_at(key, names))
        try:
            known[key](value)
        except (ValueError, TypeError) as error:
            raise _refusal(f"native setting '{key}' cannot be '{value}': {error}") from error
    values.update(threads=options.threads, backlog=options.backlog, sockets=[])
    # waitress refuses what reaches its limit; ours is the most that is let through.
    if options.max_header_size is not None:
        values["max_request_header_size"] = options.max_header_size + 1
    if options.max_body_size is not None:
        values["max_request_body_size"] = options.max_body_size + 1
    if options.max_connections is not None:
        # waitress counts each listener and its trigger as connections, and our two Wakes.
        values["connection_limit"] = options.max_connections + 2 * listeners + 2
    # select(2) takes no descriptor above 1023: one such, be it a file of the application, would end waitress's loop.
    values.setdefault("asyncore_use_poll", True)
    try:
        Adjustments(**values)
    except ValueError as error:
        raise _refusal(f"waitress refuses its settings: {error}") from error
    return values


def _refusal(message: str, fix: str = "") -> LaunchError:
    return LaunchError(Finding("native-refused", message, fix, status=Exit.USAGE))


class Loop:
    """Serves a set of sockets with one set of threads."""

    def __init__(
        self,
        application: WSGIApplication,
        sockets: Sequence[socket.socket],
        signals: Signals,
        duties: Duties,
        options: WaitressOptions,
    ) -> None:
        self.signals = signals
        self.duties = duties
        self.tally = Tally()
        self.graceful_timeout = options.graceful_timeout
        self.limits = Limits(options.client_timeout, options.keepalive)
        self.adj = Adjustments(**settings(options, len(sockets)))
        self.adj.max_request_line = options.max_request_line  # for our Parser
        self.dispatcher = ThreadedTaskDispatcher()
        self.dispatcher.set_thread_count(self.adj.threads)
        self.files: Files = {}
        answers = without_body_to_head(application)
        self.listeners = [self._listener(answers, sock) for sock in sockets]
        self._next_maintenance = 0.0
        Wake(signals.fileno(), signals.clear, self.files)
        self._lifeline = Wake(signals.lifeline, self._orphaned, self.files)

    def _listener(self, application: WSGIApplication, sock: socket.socket) -> Any:
        kind = UnixListener if sock.family == socket.AF_UNIX else TcpListener
        listener = kind(
            application,
            self.files,
            True,
            sock,
            dispatcher=self.dispatcher,
            adj=self.adj,
            bind_socket=False,
            sockinfo=(sock.family, sock.type, sock.proto, sock.getsockname()),
        )
        listener.limits = self.limits
        listener.tally = self.tally
        listener.give_way = lambda: self.duties.give_way(len(self.files))
        listener.next_channel_cleanup = float("inf")  # `_turn` does it, also when nobody listens any more
        return listener

    def run(self) -> int:
        """Serve until told to stop and done; return how many connections were cut off."""
        while not self.signals.stop:
            self._turn()
        self.limits.drain(self.signals.next_request_s(), self.signals.first_request_s())
        self._next_maintenance = 0.0
        for listener in self.listeners:
            self._close(listener)
        for channel in self._channels():
            door.hear(channel.socket)
        self.duties.leave()
        while self._channels() and time.monotonic() < self.signals.deadline(self.graceful_timeout):
            self._turn()
        self.dispatcher.set_thread_count(0)
        return sum(channel.busy for channel in self._channels())

    def _turn(self) -> None:
        wait = MAINTENANCE_S if any(listener.active_channels for listener in self.listeners) else LOOP_S
        wait = min(wait, self.duties.longest_wait())
        wasyncore.loop(wait, use_poll=self.adj.asyncore_use_poll, map=self.files, count=1)
        self.duties.requests = self.tally.count
        self.duties.turn(self._submit, len(self.files))
        now = time.monotonic()
        if now >= self._next_maintenance:
            self._next_maintenance = now + MAINTENANCE_S
            for listener in self.listeners:
                listener.maintenance(now)

    def _submit(self, function: Callable[[], None]) -> None:
        # What waitress's own add_task (3.0.2) does, but for its warning when all threads are busy.
        with self.dispatcher.lock:
            self.dispatcher.queue.append(Call(function))
            self.dispatcher.queue_cv.notify()

    def _orphaned(self) -> None:
        self._lifeline.del_channel()
        self.signals.orphaned()

    def _channels(self) -> list[Channel]:
        return [channel for listener in self.listeners for channel in list(listener.active_channels.values())]

    def _close(self, listener: Any) -> None:
        """Listen no more; first take the connections that the kernel has accepted for us, be they more than may be."""
        known = -1
        while self.signals.takes_backlog and known != len(self.files):
            known = len(self.files)
            listener.handle_accept()
        # Its own close() would close the trigger too, which working threads still pull.
        wasyncore.dispatcher.close(listener)


def prepare(options: WaitressOptions) -> Serve:
    """Check the options with waitress. Raises LaunchError."""
    settings(options, len(options.bind or options.fd))
    # It warns of each request that comes while all threads are busy: many a second where a site has visitors.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    return lambda application, sockets, signals, duties: Loop(application, sockets, signals, duties, options).run()
