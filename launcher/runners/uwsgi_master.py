"""The thread of ours in uWSGI's master: it drives the stop, and reloads that need another master.

The master of uWSGI 2.0.30 waits without Python's lock: a thread may run beside it. There it hears the bell
(launcher.runners.uwsgi_bell). No worker is needed, so that also a server ends whose workers are all gone or stuck.
"""

from __future__ import annotations

import _thread
import math
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from .. import instance
from ..application import DEVELOP
from ..sockets import SOCKETS_OURS
from . import uwsgi_bell, uwsgi_door, uwsgi_router, uwsgi_succession
from .reload import Reload
from .uwsgi_streams import say
from .uwsgi_succession import FAILED, MORE, RENEW, Elders
from .uwsgi_table import table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

POLL_S = 0.02
AGAIN_S = 0.5
NOTED_S = 0.02
"""Within this time uWSGI has noted a worker that it has made; until then it would not be told."""
DISMISSED_S = 0.2
"""For workers to look whether they are dismissed; what has requests after that accepts no other one."""

SYSTEMD_CHILD = "SYSTEMD_EXEC_PID"
"""Environment variable with the process that systemd has started, to which it sends SIGCONT behind a SIGTERM. Source:
systemd.exec(5) and systemd.kill(5), systemd 252."""

GRACEFULLY, AT_ONCE = 40, 41
"""Signals that the master is hooked to end its workers by; real-time ones, which mean nothing else."""

_preload = False
_attendants: list[Attendant] = []
_forking = _thread.allocate_lock()
_forked_at = -math.inf
_ending = False


def prepare(*, preload: bool) -> list[str]:
    """Begin to note signals, and return the words by which uWSGI lets us go on with that, and begin the thread.

    They also hook the signals by which the thread has the master do things. They come behind all other words.
    """
    global _preload
    _preload = preload
    listen()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, uwsgi_succession.HELD)  # the master that was here has blocked them
    hooks = (
        f"unix_signal:{GRACEFULLY} grace_them_all",
        f"unix_signal:{AT_ONCE} kill_them_all",
        f"unix_signal:{MORE} uwsgi_cheaper_increase",
        # The master lets Python's lock go whenever it has forked, and here takes it for a moment.
        "call:PyGILState_Ensure",
        f"call:PyRun_SimpleString from {__name__} import begin; begin()",
        "callint:PyGILState_Release 1",
    )
    early = f"call:PyRun_SimpleString from {__name__} import listen; listen()"
    return ["--hook-asap", early, *(word for hook in hooks for word in ("--hook-master-start", hook))]


def listen() -> None:
    """Note signals from now on. uWSGI ignores some where it begins, and has its own way with them in its loop."""
    numbers = [signal.SIGTERM, signal.SIGHUP, RENEW, FAILED]
    if DEVELOP in os.environ:
        numbers.append(signal.SIGCHLD)  # it wakes the master, which looks for ended workers once in a second
    if not _attendants:
        numbers.append(MORE)
        if os.environ.get(SYSTEMD_CHILD) == str(os.getpid()):
            numbers.append(signal.SIGCONT)
        if uwsgi_succession.inherited():
            signal.signal(signal.SIGINT, _end_at_once)
    uwsgi_bell.note(numbers)


def hold_early() -> None:
    """Keep back what would end the master between its first fork and `begin`: SIGHUP does, by uWSGI's own handler.

    Workers may answer by then. What else the master starts meanwhile has the signals blocked too; where there is
    more than workers, no master succeeds another.
    """
    early = uwsgi_succession.HELD if uwsgi_succession.inherited() else {signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, early)


def begin() -> None:
    """Begin the thread. uWSGI calls it in the master's own one, where its loop begins."""
    attendant = Attendant()
    _attendants.append(attendant)
    listen()
    signal.signal(signal.SIGCONT, signal.SIG_DFL)
    if os.path.exists(instance.draining_file(os.environ)):  # `serve stop` has told one that ignored it
        uwsgi_bell.ring(signal.SIGTERM)
    # A signal is to interrupt the master where it waits, and not the thread.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    _thread.start_new_thread(attendant.run, ())
    signal.pthread_sigmask(signal.SIG_SETMASK, before - uwsgi_succession.HELD)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    """End a master that loads the application, and with it the workers of before."""
    uwsgi_succession.end_process(0)


def begin_fork() -> None:
    """The master, in its own thread, is about to make a worker. If another is to take its place, that does so."""
    for attendant in _attendants:
        attendant.give_way()
    _forking.acquire()


def end_fork() -> None:
    """The worker is made."""
    global _forked_at
    _forked_at = time.monotonic()
    _forking.release()


def ending() -> bool:
    """Return whether the master was told to end its workers, and makes one all the same."""
    return _ending


def _dismiss_workers() -> None:
    """Have those workers end that have nothing to do, as in a reload, while others may still ask at their sockets."""
    global _ending
    _ending = True
    with _forking:  # the master would replace them
        Elders.here().finish(DISMISSED_S)


def _end_workers(*, gracefully: bool) -> None:
    """Have the master end its workers, and then itself."""
    global _ending
    _ending = True
    with _forking:
        time.sleep(max(0.0, _forked_at + NOTED_S - time.monotonic()))
        os.kill(os.getpid(), GRACEFULLY if gracefully else AT_ONCE)


class Stop(Exception):
    """The server was told to stop."""


class Attendant:
    """The thread, and what it has heard."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        """Of what follows, which the master's own thread touches too."""
        self._stopping = self._asked = self._due = self._handed = False
        self._renewal: Reload | None = None
        """Whose verdict the master is to execute."""
        self._began = 0.0
        self._failure = ""
        succession = uwsgi_succession.inherited()
        self._elders = Elders(succession.workers, succession.pipes) if succession else None

    def run(self) -> None:
        finished = False
        try:
            self._live()
        except Stop:
            finished = self._stop()
        finally:
            _end_workers(gracefully=finished)

    def _live(self) -> None:
        """Do what signals ask for. Raises Stop."""
        todo = self._take_over
        while True:
            try:
                todo()
            except Stop:
                raise
            except Exception:
                import traceback

                say(f"the reload failed: {traceback.format_exc()}")
            while not (self._asked or self._handed):
                self._hear()
            todo = self._renew if self._handed else self._reload if _preload else self._have_driven

    def _hear(self, seconds: float | None = None, also: Sequence[int] = ()) -> None:
        """Wait for a signal, or for one of these descriptors. Raises Stop."""
        select.select([uwsgi_bell.fileno(), *also], [], [], seconds)
        with self._lock:
            self._take()
            if self._stopping:
                self._renewal = None
                raise Stop

    def _take(self) -> None:
        numbers = uwsgi_bell.heard()
        if FAILED in numbers:
            _forking.acquire()  # for good
            uwsgi_succession.end_process(FAILED)
        # SIGINT comes here where an import took its KeyboardInterrupt for an error of its own.
        self._stopping |= signal.SIGTERM in numbers or signal.SIGINT in numbers
        self._asked |= signal.SIGHUP in numbers
        self._handed |= RENEW in numbers

    def _stop(self) -> bool:
        """Do what comes before workers are told; return whether they may finish what they have."""
        rows = table()
        rows.begin_stop()
        if SOCKETS_OURS in os.environ:
            uwsgi_door.close(uwsgi_succession.listeners(), rows.grace_s / 2)
        elif not rows.routed:
            _dismiss_workers()
        if rows.routed:
            return uwsgi_router.end()
        return self._elders is None or self._elders.finish(rows.grace_s)

    def _have_driven(self) -> None:
        """Have a worker started that reloads the others: due until it is made, which a next master may have to do."""
        self._asked, self._due = False, True
        os.kill(table().master, MORE)

    def _renew(self) -> None:
        """Have the master execute itself anew: somebody has proven what cannot be had otherwise. Raises Stop."""
        self._handed = False
        reload, self._began = uwsgi_succession.handed()
        try:
            reason = uwsgi_succession.obstacle() or self._execute(reload)
        except Stop:
            reload.stop()
            raise
        table().renewing = False
        reload.end(reason)
        say(f"reload refused, the old code goes on serving: {reason}")

    def _reload(self) -> None:
        """Prove the new code, and have the master execute itself anew. Raises Stop."""
        self._asked = False
        self._began = time.monotonic()
        rows = table()
        reason = uwsgi_succession.obstacle()
        if reason:
            Reload.refuse(rows.directory, rows.generation, rows.systemd, reason)
        else:
            reload = Reload(rows.directory, rows.generation + 1, rows.systemd)
            try:
                reason = self._prove(reload) or self._execute(reload)
            except Stop:
                reload.stop()
                raise
            reload.end(reason)
        say(f"reload refused, the old code goes on serving: {reason}")

    def _prove(self, reload: Reload) -> str:
        """Return why the new code does not do. Raises Stop."""
        while (verdict := reload.poll()) is None:
            self._hear(POLL_S, [reload.fileno()])
        return "" if verdict.ok else verdict.reason

    def _execute(self, reload: Reload) -> str:
        """Wait for the end of this program; return why it has not come. Raises Stop."""
        reload.replacing()
        table().suspend_watchdog()
        self._renewal = reload
        ask_at = 0.0
        while self._renewal is not None:
            if time.monotonic() >= ask_at:
                # Again and again: there is no free slot before those have gone who asked for this.
                os.kill(table().master, MORE)
                ask_at = time.monotonic() + AGAIN_S
            self._hear(POLL_S)
        table().resume_watchdog()
        return self._failure

    def give_way(self) -> None:
        """Be followed by the next master, in the thread of this one."""
        with self._lock:
            if self._renewal is None:
                self._due = False
                return
            # What comes from now on waits for the next master, and what has come is carried over.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, uwsgi_succession.HELD)
            self._take()
            try:
                if not self._stopping:
                    uwsgi_succession.succeed(self._renewal, self._began, self._asked or self._due)
            except Exception as error:  # the master knows nothing of exceptions, and forks
                self._failure = f"the main process cannot start again: {error!r}"
            self._renewal = None
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _take_over(self) -> None:
        """Wait for the workers of this master, and let those of the one before go. Raises Stop."""
        succession, elders, rows = uwsgi_succession.inherited(), self._elders, table()
        if succession is None or elders is None:
            return
        reload = Reload.resume(succession.reload, rows.systemd)
        self._asked |= succession.again
        slots, told = range(1, rows.workers + 1), False
        try:
            while not all(map(rows.ready, slots)):
                if not told and any(map(rows.failures, slots)):
                    told = True
                    reload.fail("a new worker did not become ready", "old workers serve on while new ones try again")
                self._hear(POLL_S)
            elders.dismiss()
            end = time.monotonic() + rows.grace_s
            while elders.left():
                if time.monotonic() > end:
                    end = math.inf
                    say(f"old workers did not finish within {rows.grace_s:g} s, and are killed")
                    elders.kill()
                self._hear(POLL_S)
        except Stop:
            reload.stop()
            raise
        self._elders = None
        elders.forget()
        rows.resume_watchdog()
        reload.end()
        many = "s" if len(elders) != 1 else ""
        say(f"reloaded {len(elders)} worker{many} in {time.monotonic() - succession.began:.1f} s")
