"""What a worker has from its main process: a row to write to, and a bell to ring."""

import os
from typing import NamedTuple

from ..board import Board
from .gunicorn_ledger import Ledger


class Place(NamedTuple):
    """A worker's, made before its fork. It may run as another user than the main process, whom it could not signal."""

    board: Board
    ledger: Ledger
    row: int
    """The same on both."""
    generation: int
    bell: int
    """A descriptor: a byte written to it wakes the main process."""

    def enter(self) -> None:
        """Say that this process has the row."""
        self.board.enter(self.row, os.getpid(), self.generation)

    def ready(self) -> None:
        """Say that the application is loaded, and that requests are taken."""
        self.ledger.serve()
        self.board.ready(self.row)
        self._ring()

    def worn(self) -> bool:
        return self.ledger.worn(self.row)

    def wear_out(self) -> None:
        """Ask for another worker to take this one's place, which is told to go once the other is ready."""
        self.ledger.wear_out(self.row)
        self._ring()

    def leave(self) -> None:
        """Say that nobody is accepted any more."""
        self.ledger.leave(self.row)
        self.board.leave(self.row)
        self._ring()

    def _ring(self) -> None:
        try:
            os.write(self.bell, b".")
        except BlockingIOError:
            pass  # it has enough to wake up for
