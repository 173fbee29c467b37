"""The reload of a uWSGI instance, driven by a process that lasts as long as the reload does.

uWSGI's own chain reload ends a worker before there is another, and ends everything where a worker cannot load the
application. Here SIGHUP makes the master start one more worker, in a spare slot, and that worker starts this driver:

1. wait until an earlier reload is over;
2. prove the new code in a throw-away process; where it fails, the worker goes and the old code serves on; where it
   wants other words, the master goes on (launcher.runners.uwsgi_succession);
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

import uwsgi

from ..loading import EXTENDED, WAITING_S
from . import uwsgi_succession
from .reload import Reload, Verdict
from .uwsgi_signals import LOOK
from .uwsgi_streams import say
from .uwsgi_table import Table, table

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_S = 0.01
"""Between two looks at what uWSGI knows of its workers; nothing tells when it changes."""

AGAIN_S = 0.05

WAKE = signal.SIGURG
"""What makes the master look for workers that ended; by itself it looks once in a second (uWSGI 2.0.30)."""


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
            say(f"reload refused, the old code goes on serving: {failure}")
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
        if self.table.renewing:
            signal.pidfd_send_signal(self.master, signal.SIGHUP)  # let the next master hear of it
            return
        began = time.monotonic()
        old = [(slot, pid) for slot, pid in enumerate(pids(), 1) if pid and not self.table.is_spare(slot)]
        reload = Reload(self.table.directory, self.table.generation + 1, self.table.systemd)
        try:
            if uwsgi_succession.needed(self.prove(reload)):
                uwsgi_succession.hand_over(reload, began)
                return
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

    def prove(self, reload: Reload) -> Verdict:
        """Wait for the verdict on the new code, and return it. Raises Failure where it is bad."""
        try:
            self.until(lambda: reload.poll() is not None)
        except Failure:
            reload.stop()
            raise
        assert reload.verdict is not None
        if not reload.verdict.ok:
            raise Failure(reload.verdict.reason)
        return reload.verdict

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
        self.table.tell(EXTENDED)
        if not self.until(lambda: self.table.ready(slot) == pid or pids()[slot - 1] != pid, WAITING_S):
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
                self.table.dismiss(slot)
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
