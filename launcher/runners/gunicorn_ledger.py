"""What gunicorn's workers know of each other."""

import mmap
import os
import time


class Ledger:
    """What the workers of one master tell each other: shared memory, with a row for each.

    A row is written by its worker alone: when it last did (negative while it does not serve), how many
    connections it holds, and whether it has asked for a successor.
    """

    ROWS = 256
    WIDTH = 3
    STALE_S = 3.0

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, self.ROWS * self.WIDTH * 8)).cast("d", (self.ROWS, self.WIDTH))
        self._token, last = os.pipe()
        os.write(last, b"!")
        os.close(last)

    def claim(self) -> int:
        """Return the row unused for longest. Only for the master, which makes one worker at a time."""
        row = min(range(self.ROWS), key=lambda row: abs(self._cells[row, 0]))
        self._cells[row, 2] = 0
        self.leave(row)
        return row

    def write(self, row: int, held: int) -> None:
        self._cells[row, 1] = held
        self._cells[row, 0] = time.monotonic()

    def leave(self, row: int) -> None:
        self._cells[row, 0] = -time.monotonic()

    def others(self, row: int) -> list[int]:
        """Return the rows of the other workers that serve now."""
        recently = time.monotonic() - self.STALE_S
        return [other for other in range(self.ROWS) if self._cells[other, 0] > recently and other != row]

    def excess(self, row: int, others: list[int]) -> float:
        """Return how many connections `row` holds more than the one of `others` with the fewest."""
        mine = self._cells[row, 1]
        return mine - min([self._cells[other, 1] for other in others], default=mine)

    def succession(self, row: int) -> bool:
        """Return whether the worker of this row has asked for a successor."""
        return bool(self._cells[row, 2])

    def set_succession(self, row: int, asked: bool) -> None:
        self._cells[row, 2] = asked

    def first_to_fail(self) -> bool:
        """Return True to one caller of all processes."""
        return os.read(self._token, 1) == b"!"
