"""What the processes of one uWSGI instance know of each other, in memory that its forks share."""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from typing import TYPE_CHECKING

from .. import instance
from ..board import LEAVING, Board
from ..loading import WAITING_S
from ..systemd import tell

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_SERVED, _GENERATION, _DRAINING, _RENEWING, _HEAD = 0, 1, 2, 3, 4
_READY, _ATTEMPTS, _TAKEN, _ROW = 0, 1, 2, 3
_RELOAD, _FAILURE = 0, 1

_table: list[Table] = []


def share(table: Table) -> Table:
    """Make it the table of this instance, before uWSGI forks, and return it."""
    _table[:] = [table]
    return table


def table() -> Table:
    return _table[0]


class Table:
    """One row for each slot of uWSGI, counted from 1; the slots beyond the workers' are spare.

    Every number is written by one process at a time. What systemd put into the environment is taken out of it: uWSGI
    2.0.30 says READY before a worker can answer.
    """

    def __init__(
        self,
        workers: int,
        slots: int,
        grace_s: float,
        environ: MutableMapping[str, str],
        drain_delay_s: float,
        routed: bool,
        max_line: int | None,
    ) -> None:
        self.directory = environ.get(instance.VARIABLE)
        """Of the record of this instance."""
        names = [name for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC") if name in environ]
        self.systemd = {name: environ.pop(name) for name in names}
        self.board = Board.of(self.directory)
        self.workers = workers
        self.slots = slots
        self.grace_s = grace_s
        """What a worker that goes has for its requests, in seconds."""
        self.drain_delay_s = drain_delay_s
        self.routed = routed
        """Whether clients speak to uWSGI's router, which speaks to the workers."""
        self.max_line = max_line
        """Bytes of the longest request line, where there is a limit."""
        self.master = os.getpid()
        size = 8 * (_HEAD + _ROW * self.slots)
        self._fd = os.memfd_create("launcher")
        os.ftruncate(self._fd, size)
        self._cells = memoryview(mmap.mmap(self._fd, size)).cast("q")
        self._first_row = 0
        self.generation = 1

    def succeed(self, generation: int, first_row: int) -> None:
        """Go on where another table has served: this generation is new, and has the board from this row on."""
        self.generation = generation
        self._first_row = first_row
        self._cells[_SERVED] = 1

    @property
    def generation(self) -> int:
        """Of the workers that begin now."""
        return self._cells[_GENERATION]

    @generation.setter
    def generation(self, value: int) -> None:
        self._cells[_GENERATION] = value

    @property
    def draining(self) -> bool:
        """Whether the server stops, and each answer is to be the last on its connection."""
        return bool(self._cells[_DRAINING])

    @draining.setter
    def draining(self, value: bool) -> None:
        self._cells[_DRAINING] = value

    @property
    def renewing(self) -> bool:
        """Whether the master is about to execute itself anew, which ends this table."""
        return bool(self._cells[_RENEWING])

    @renewing.setter
    def renewing(self, value: bool) -> None:
        self._cells[_RENEWING] = value

    def begin_stop(self) -> None:
        """Tell everybody that the server is to stop, and let it serve on for so long as balancers need."""
        instance.drain(os.environ)
        self.tell("STOPPING=1")
        time.sleep(self.drain_delay_s)

    def suspend_watchdog(self) -> None:
        """Have systemd wait longer for the next sign of life: there is none while the main process loads."""
        if "WATCHDOG_USEC" in self.systemd:
            self.tell(f"WATCHDOG_USEC={WAITING_S * 1_000_000}", "WATCHDOG=1")

    def resume_watchdog(self) -> None:
        """Have it wait as before."""
        if usec := self.systemd.get("WATCHDOG_USEC"):
            self.tell(f"WATCHDOG_USEC={usec}", "WATCHDOG=1")

    def tell(self, *lines: str) -> None:
        """Tell systemd, if it asked."""
        tell(*lines, environ=self.systemd)

    def is_spare(self, slot: int) -> bool:
        return slot > self.workers

    @property
    def served(self) -> bool:
        """Whether any worker has ever been ready."""
        return bool(self._cells[_SERVED])

    def begin(self, slot: int) -> int:
        """Note that a worker loads the application; return how often one ended in this slot before it was ready."""
        self.board.enter(self.row(slot), os.getpid(), self.generation)
        at = self._at(slot, _ATTEMPTS)
        self._cells[at] += 1
        return self.failures(slot)

    def failures(self, slot: int) -> int:
        """Return how many workers have ended in this slot since one was ready."""
        return max(0, self._cells[self._at(slot, _ATTEMPTS)] - 1)

    def forgive(self, slot: int) -> None:
        self._cells[self._at(slot, _ATTEMPTS)] = 0

    def set_ready(self, slot: int) -> None:
        """Note that this process has loaded the application, in this slot."""
        self.forgive(slot)
        self._cells[self._at(slot, _READY)] = os.getpid()
        self.board.ready(self.row(slot))
        if not self.served:
            self._cells[_SERVED] = 1
            self.tell("READY=1", "STATUS=generation 1")

    def ready(self, slot: int) -> int:
        """Return the pid of the last process that was ready in this slot; 0 while none was."""
        return self._cells[self._at(slot, _READY)]

    def row(self, slot: int) -> int:
        """Return which row of the board a slot has."""
        return self._first_row + slot - 1

    def dismiss(self, slot: int) -> None:
        """Note that the process in a slot is to finish its requests, and to go."""
        self.board.leave(self.row(slot))

    def dismissed(self, slot: int) -> bool:
        """Return whether this process, which is in this slot, is to go."""
        entry = self.board.entry(self.row(slot))
        return (entry.pid, entry.state) == (os.getpid(), LEAVING)

    def take(self, slot: int) -> bool:
        """Take a spare slot; false where it is taken: then its process ended by itself, and this one replaces it."""
        at = self._at(slot, _TAKEN)
        was, self._cells[at] = self._cells[at], 1
        return not was

    def leave(self, slot: int) -> None:
        self._cells[self._at(slot, _TAKEN)] = 0

    def lock_reload(self) -> None:
        """Wait until this process is the only one that reloads; the lock ends with the process."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, _RELOAD)

    def claim_failure(self) -> bool:
        """Return whether this process is the one that tells why the instance cannot start."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _FAILURE)
        except OSError:
            return False
        return True

    def _at(self, slot: int, column: int) -> int:
        return _HEAD + _ROW * (slot - 1) + column
