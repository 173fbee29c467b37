"""How many connections each worker holds, so that the one with fewer accepts first.

A listening socket that several processes share wakes all of them, and whoever is quickest takes the connection: one
may come to hold nearly all that are kept alive, while the others idle.
"""

import mmap

from ..board import ROWS


class Ledger:
    """Shared memory with a cell for each row of the board, and one more for how many rows there are."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, (ROWS + 1) * 4)).cast("I")

    # For the supervisor

    def claim(self, row: int) -> None:
        """Note that a worker has this row, which does not serve yet."""
        self._cells[0] = max(self._cells[0], row + 1)
        self.leave(row)

    # For the worker of a row, or for the supervisor when it has gone

    def write(self, row: int, held: int) -> None:
        self._cells[row + 1] = held + 1

    def leave(self, row: int) -> None:
        """Note that the worker accepts no more."""
        self._cells[row + 1] = 0

    def excess(self, row: int) -> int:
        """Return how many connections a worker holds more than the one with the fewest; 0 if it accepts no more."""
        serving = [cell for cell in self._cells[1 : self._cells[0] + 1].tolist() if cell]
        return max(0, self._cells[row + 1] - min(serving, default=0))
