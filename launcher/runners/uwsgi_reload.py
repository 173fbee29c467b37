"""The reload of a uWSGI instance, driven by a process that lasts as long as the reload does.

uWSGI's own chain reload ends a worker before there is another, and ends everything where a worker cannot load the
application. Here SIGHUP makes the master start one more worker, in a spare slot, and that worker starts this driver:

1. wait until an earlier reload is over;
2. prove the new code in a throw-away process; where it fails, the worker goes and the old code serves on;
3. wait until the worker serves with the new code: from now on there is one more than asked for;
4. replace the old workers one by one: each finishes what it has, and the next waits until its successor serves;
5. let the worker of the spare slot go.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

import pyuwsgi
import uwsgi

from ..application import DEVELOP
from .reload import Reload
from .uwsgi_table import Table, table

if TYPE_CHECKING:
    from collections.abc import Callable

PROOF_S = 60.0
"""How long the import may take, in the proof and again in a worker."""
POLL_S = 0.01
"""Between two looks at what uWSGI knows of its workers; nothing tells when it changes."""

AGAIN_S = 0.05

WAKE = signal.SIGURG
"""What makes the master look for workers that ended; by itself it looks once in a second (uWSGI 2.0.30)."""

LOOK = 255
"""uWSGI's signal, not the system's, that makes workers look whether they are dismissed. They do between two requests.
The system's own, SIGHUP, ends a worker on the spot that has accepted a connection and not begun to read it, and breaks
an answer off that waits for a slow client (uWSGI 2.0.30)."""


PULSE = 254
"""uWSGI's signal that the master sends once a second to whichever worker has a thread to spare."""


def register() -> None:
    """Tell the master whom the signals are for, before it forks the first worker."""
    uwsgi.register_signal(LOOK, "active-workers", _look)
    if DEVELOP not in os.environ:  # nobody counts there; and a worker that stands by would find them all
        uwsgi.register_signal(PULSE, "worker", _pulse)
        uwsgi.add_timer(PULSE, 1)


def _pulse(number: int) -> None:
    """Tell what the workers have done; and systemd, that there is one which answers."""
    for worker in uwsgi.workers():
        table().board.count(worker["id"] - 1, worker["requests"])
    table().board.show(uwsgi.worker_id() - 1)
    if "WATCHDOG_USEC" in table().systemd:
        table().tell("WATCHDOG=1")


def _look(number: int) -> None:
    if table().dismissed(uwsgi.worker_id()) == os.getpid():
        import ctypes  # once in the life of a worker

        ctypes.PyDLL(pyuwsgi.__file__).goodbye_cruel_world()


class Failure(Exception):
    """A reload that cannot be finished: a sentence for the log."""


def begin(slot: int) -> bool:
    """Start the driver for the worker in a spare slot; return whether the worker may load the application."""
    worker = os.getpid()
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.close(reader)
            Driver(table(), slot, worker).run(writer)
        except Failure as failure:
            say(f"not reloaded, the old code serves on: {failure}")
        except BaseException:
            import traceback

            say(f"the reload failed: {traceback.format_exc()}")
        finally:
            os._exit(0)
    os.close(writer)
    may = os.read(reader, 1) == b"y"  # nothing where the driver ended
    os.close(reader)
    return may


class Driver:
    """One reload."""

    def __init__(self, rows: Table, slot: int, worker: int) -> None:
        self.table = rows
        self.slot = slot
        self.worker = worker
        self.master = os.pidfd_open(rows.master)

    def run(self, verdict: int) -> None:
        """Go through the steps. Raises Failure."""
        self.table.lock_reload()
        if os.getppid() != self.worker:
            return  # asked to end while it waited
        began = time.monotonic()
        old = [(slot, pid) for slot, pid in enumerate(pids(), 1) if pid and not self.table.is_spare(slot)]
        reload = Reload(self.table.directory, self.table.generation + 1, self.table.systemd)
        try:
            self.prove(reload)
            self.table.generation += 1
            reload.replacing()
            self.let_load(verdict)
            for slot, pid in old:
                if pids()[slot - 1] == pid:
                    self.replace(slot, pid)
        except Failure as failure:
            reload.end(str(failure))
            raise
        for slot in range(self.table.workers + 1, self.table.slots + 1):
            pid = pids()[slot - 1]
            if pid and self.table.ready(slot) == pid:
                self.end(slot, pid)
        self.master_sees(lambda: state(self.slot) == "cheap")
        reload.end()
        say(f"reloaded {len(old)} worker{'s' if len(old) != 1 else ''} in {time.monotonic() - began:.1f} s")

    def prove(self, reload: Reload) -> None:
        """Wait for the verdict on the new code. Raises Failure where it is bad."""
        try:
            if not self.until(lambda: reload.poll() is not None, PROOF_S):
                raise Failure(f"the import did not end within {PROOF_S:g} s")
        except Failure:
            reload.stop()
            raise
        assert reload.verdict is not None
        if not reload.verdict.ok:
            raise Failure(reload.verdict.reason)

    def let_load(self, verdict: int) -> None:
        """Let the worker in the spare slot load the new code, and wait until it serves. Raises Failure."""
        with contextlib.suppress(BrokenPipeError):
            os.write(verdict, b"y")
        if not self.comes(self.slot, self.worker):
            self.table.generation -= 1
            raise Failure("the new worker did not become ready")

    def replace(self, slot: int, pid: int) -> None:
        """End a worker, and wait until its successor serves."""
        self.table.forgive(slot)
        self.end(slot, pid)
        self.master_sees(lambda: pids()[slot - 1] not in (0, pid))
        if not self.comes(slot, pids()[slot - 1]):
            raise Failure("a new worker did not become ready after others had")

    def comes(self, slot: int, pid: int) -> bool:
        """Wait for a worker that loads the application; return whether it is ready, rather than gone or hanging."""
        if not self.until(lambda: self.table.ready(slot) == pid or pids()[slot - 1] != pid, PROOF_S):
            os.kill(pid, signal.SIGKILL)
        return self.table.ready(slot) == pid

    def end(self, slot: int, pid: int) -> None:
        """Let a worker finish its requests, within the grace, and wait until it is gone."""
        try:
            worker = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if self.table.ready(slot) == pid:
                self.table.dismiss(slot, pid)
                uwsgi.signal(LOOK)
            else:
                signal.pidfd_send_signal(worker, signal.SIGHUP)
            if not self.until(lambda: gone(worker), self.table.grace_s):
                signal.pidfd_send_signal(worker, signal.SIGKILL)
                self.until(lambda: gone(worker))
        except ProcessLookupError:
            pass
        finally:
            os.close(worker)

    def master_sees(self, condition: Callable[[], bool]) -> None:
        """Wait for what the master does when it sees that a worker has ended."""
        while not self.until(condition, AGAIN_S):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.master, WAKE)

    def until(self, condition: Callable[[], bool], deadline_s: float | None = None) -> bool:
        """Wait for a condition; return false at the deadline. Raises Failure where the master ends meanwhile."""
        end = None if deadline_s is None else time.monotonic() + deadline_s
        while not condition():
            if end is not None and time.monotonic() > end:
                return False
            if gone(self.master, POLL_S):
                raise Failure("the server was stopped meanwhile")
        return True


def gone(pidfd: int, wait_s: float = 0) -> bool:
    """Return whether a process has ended."""
    return bool(select.select([pidfd], [], [], wait_s)[0])


def pids() -> list[int]:
    """Return the process in each slot, 0 for none."""
    return [worker["pid"] for worker in uwsgi.workers()]


def state(slot: int) -> str:
    status: bytes = uwsgi.workers()[slot - 1]["status"]
    return status.decode()


def say(line: str) -> None:
    os.write(2, f"serve: {line}\n".encode("utf-8", "backslashreplace"))
