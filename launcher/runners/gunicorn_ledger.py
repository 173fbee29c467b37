"""What gunicorn's workers know of each other."""

import mmap
import os
import time

SEEN, HELD, SUCCEEDED, AGE = range(4)


class Ledger:
    """What the workers of one master tell each other: shared memory, with a row for each.

    A row has the time of its worker's last entry (negative while it does not serve), how many connections it
    holds, whether it has asked for a successor, and its age: gunicorn numbers the workers of a master. One more
    row is the master's: the age of the last worker that is to go in a reload.
    """

    ROWS = 256
    STALE_S = 3.0

    def __init__(self) -> None:
        shape = self.ROWS + 1, 4
        self._cells = memoryview(mmap.mmap(-1, shape[0] * shape[1] * 8)).cast("d", shape)
        self._token, last = os.pipe()
        os.write(last, b"!")
        os.close(last)

    # For the master

    def claim(self, age: int) -> int:
        """Return a new worker's row: the one unused for longest."""
        row = min(range(self.ROWS), key=lambda row: abs(self._cells[row, SEEN]))
        self._cells[row, SUCCEEDED] = False
        self._cells[row, AGE] = age
        self.leave(row)
        return row

    def outdate(self, age: int) -> None:
        """Note that a reload replaces the workers up to this age."""
        self._cells[self.ROWS, AGE] = age

    # For the worker of a row

    def write(self, row: int, held: int) -> None:
        self._cells[row, HELD] = held
        self._cells[row, SEEN] = time.monotonic()

    def leave(self, row: int) -> None:
        self._cells[row, SEEN] = -time.monotonic()

    # For all

    def succeeded(self, row: int) -> bool:
        return bool(self._cells[row, SUCCEEDED])

    def set_succeeded(self, row: int, value: bool) -> None:
        self._cells[row, SUCCEEDED] = value

    def outdated(self) -> float:
        return self._cells[self.ROWS, AGE]

    def youngest(self) -> float:
        """Return the age of the last worker that was made."""
        return max(self._cells[row, AGE] for row in range(self.ROWS))

    def others(self, row: int) -> list[int]:
        """Return the rows of the other workers that serve now."""
        recently = time.monotonic() - self.STALE_S
        return [other for other in range(self.ROWS) if self._cells[other, SEEN] > recently and other != row]

    def after(self, age: float, rows: list[int]) -> int:
        """Return how many of these were made after the worker of that age."""
        return sum(self._cells[row, AGE] > age for row in rows)

    def excess(self, row: int, others: list[int]) -> float:
        """Return how many connections `row` holds more than the one of `others` with the fewest."""
        mine = self._cells[row, HELD]
        return mine - min([self._cells[other, HELD] for other in others], default=mine)

    def first_to_fail(self) -> bool:
        """Return True to one caller of all processes."""
        return os.read(self._token, 1) == b"!"
