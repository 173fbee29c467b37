"""What the processes of one gunicorn know of each other, beside what its board shows everybody."""

import mmap
import os
import time

from ..board import ROWS

SEEN, HELD, WORN = range(3)
STOPPING, SERVED, USED = range(3)


class Ledger:
    """Shared memory with a row for each worker, the same as on the board.

    A row has the time of its worker's last entry (negative while it does not serve), how many connections it
    holds, and whether another worker should take its place. One more row is the main process's.
    """

    STALE_S = 3.0

    def __init__(self, descriptor: int | None = None) -> None:
        """Open the one that another main process left."""
        shape = ROWS + 1, 3
        size = shape[0] * shape[1] * 8
        self.descriptor = os.memfd_create("ledger") if descriptor is None else descriptor
        os.ftruncate(self.descriptor, size)
        self._cells = memoryview(mmap.mmap(self.descriptor, size)).cast("d", shape)

    # For the main process

    def clear(self, row: int) -> None:
        """Make a row fit for a new worker."""
        self._cells[row, HELD] = self._cells[row, WORN] = 0
        self._cells[ROWS, USED] = max(self._cells[ROWS, USED], row + 1)
        self.leave(row)

    def stop(self) -> None:
        """Note that no other worker will take what a leaving one does not."""
        self._cells[ROWS, STOPPING] = True

    def worn(self, row: int) -> bool:
        return bool(self._cells[row, WORN])

    # For the worker of a row

    def write(self, row: int, held: int) -> None:
        self._cells[row, HELD] = held
        self._cells[row, SEEN] = time.monotonic()

    def leave(self, row: int) -> None:
        self._cells[row, SEEN] = -time.monotonic()

    def wear_out(self, row: int) -> None:
        """Ask for another worker to take this one's place."""
        self._cells[row, WORN] = True

    def serve(self) -> None:
        """Note that a worker has loaded the application: from now on one that cannot does not end the server."""
        self._cells[ROWS, SERVED] = True

    # For all

    def stopping(self) -> bool:
        return bool(self._cells[ROWS, STOPPING])

    def served(self) -> bool:
        return bool(self._cells[ROWS, SERVED])

    def others(self, row: int) -> list[int]:
        """Return the rows of the other workers that serve now."""
        recently = time.monotonic() - self.STALE_S
        used = int(self._cells[ROWS, USED])
        return [other for other in range(used) if self._cells[other, SEEN] > recently and other != row]

    def excess(self, row: int, others: list[int]) -> float:
        """Return how many connections `row` holds more than the one of `others` with the fewest."""
        mine = self._cells[row, HELD]
        return mine - min([self._cells[other, HELD] for other in others], default=mine)
