"""The workers of a server, as they tell of themselves: shared memory with a row for each.

Whoever makes the workers gives each its row; each writes only there. Reading needs no lock: a number of eight bytes
is written at once.
"""

import mmap
import os
import time
from typing import NamedTuple

from .instance import BOARD

STARTING, READY, LEAVING = 1.0, 2.0, 3.0

ROWS = 2048
PID, GENERATION, STATE, SINCE, REQUESTS, SIGN = range(6)
COLUMNS = 6


class Entry(NamedTuple):
    """One worker."""

    row: int
    pid: int
    generation: int
    """1 for those of the start, one more after each reload."""
    state: float
    since: float
    """When its state began: seconds, monotonic."""
    requests: int
    sign: float
    """When one of its threads last showed that it takes work: seconds, monotonic; 0 if it does not tell."""


class Board:
    """A board in memory that forked processes share, or in a file."""

    def __init__(self, path: str | None = None) -> None:
        """Open the board of a record, which is made where it is not there yet. Raises OSError."""
        size = ROWS * COLUMNS * 8
        if path is None:
            memory = mmap.mmap(-1, size)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
            try:
                if os.fstat(descriptor).st_size != size:
                    # Of a file with holes, whoever writes to it is ended by SIGBUS where the disk is full.
                    os.posix_fallocate(descriptor, 0, size)
                memory = mmap.mmap(descriptor, size)
            finally:
                os.close(descriptor)
        self._cells = memoryview(memory).cast("d", (ROWS, COLUMNS))

    @classmethod
    def of(cls, directory: str | None) -> "Board":
        """Return the board of a record (launcher.instance), and one in memory where there is none or no room for it."""
        try:
            return cls(directory and os.path.join(directory, BOARD))
        except OSError:
            return cls()

    # For whoever makes the workers

    def free(self) -> int:
        """Return a row that nobody has."""
        return next(row for row in range(ROWS) if not self._cells[row, PID])

    def enter(self, row: int, pid: int, generation: int) -> None:
        """Give a row to a worker that has yet to load the application."""
        for column, value in ((GENERATION, generation), (REQUESTS, 0), (SIGN, 0)):
            self._cells[row, column] = value
        self._become(row, STARTING)
        self._cells[row, PID] = pid

    def clear(self, row: int) -> None:
        """Take a row back: its worker has ended."""
        self._cells[row, PID] = 0

    # For a worker

    def ready(self, row: int) -> None:
        """Note that the worker can answer."""
        self._become(row, READY)

    def leave(self, row: int) -> None:
        """Note that the worker only finishes what it has."""
        self._become(row, LEAVING)

    def count(self, row: int, requests: int) -> None:
        """Note how many requests the worker has answered."""
        self._cells[row, REQUESTS] = requests

    def row_of(self, pid: int) -> int | None:
        """Return the row that a worker was given by whoever made it, None where there is none yet."""
        return next((row for row in range(ROWS) if self._cells[row, PID] == pid), None)

    def show(self, row: int) -> None:
        """Show a sign of life: a thread that answers requests has time for this."""
        self._cells[row, SIGN] = time.monotonic()

    def _become(self, row: int, state: float) -> None:
        self._cells[row, SINCE] = time.monotonic()
        self._cells[row, STATE] = state

    # For all

    def entry(self, row: int) -> Entry:
        """Return what a row says; its process is 0 where nobody has it."""
        pid, generation, state, since, requests, sign = (self._cells[row, column] for column in range(COLUMNS))
        return Entry(row, int(pid), int(generation), state, since, int(requests), sign)

    def entries(self) -> list[Entry]:
        """Return the workers there are."""
        return [self.entry(row) for row in range(ROWS) if self._cells[row, PID]]
