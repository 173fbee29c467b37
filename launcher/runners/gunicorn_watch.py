"""What systemd hears of a server that lives: that it still loads, that it is ready, that it takes requests."""

import os
import time
from collections.abc import Callable

from ..application import DEVELOP
from ..board import READY, STARTING, Board
from ..loading import WAITING_S

EXTEND_EVERY_S = 5.0
EXTENSION_S = 10
SIGNS_EVERY_S = 1.0


class Watch:
    """The messages that are due now and then. Source: sd_notify(3), sd_watchdog_enabled(3)."""

    def __init__(self, tell: Callable[..., None], *, announced: bool) -> None:
        """`announced` is whether systemd has heard READY=1 before."""
        self._tell = tell
        self._began = time.monotonic()
        self._extended = 0.0
        self._announced = announced
        usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
        meant = usec.isdigit() and int(usec) > 0 and pid in (None, "", str(os.getpid()))
        self._half = int(usec) / 2e6 if meant else 0.0
        self.due: float | None = self._began if meant else None
        """When to look at the latest (monotonic)."""

    def extend(self, seconds: int = EXTENSION_S) -> None:
        """Ask for more time, until WAITING_S are over; the development loop has no limit."""
        if DEVELOP in os.environ:
            return
        now = time.monotonic()
        if now - self._extended >= EXTEND_EVERY_S and now - self._began < WAITING_S:
            self._extended = now
            self._tell(f"EXTEND_TIMEOUT_USEC={seconds * 1_000_000}")

    def suspend(self, seconds: int) -> None:
        """Have systemd wait for so long until the next WATCHDOG=1."""
        if self.due is not None:
            self._tell(f"WATCHDOG_USEC={seconds * 1_000_000}", "WATCHDOG=1")

    def resume(self) -> None:
        """Have it wait as before."""
        if self.due is not None:
            self._tell(f"WATCHDOG_USEC={2e6 * self._half:.0f}", "WATCHDOG=1")

    def look(self, board: Board, generation: int) -> None:
        """Say what is to be said."""
        if not self._announced:
            if any(entry.state == READY for entry in board.entries()):
                self._announced = True
                self._tell("READY=1", f"STATUS=generation {generation}")
            else:
                self.extend()
        if self.due is not None and time.monotonic() >= self.due:
            if self.alive(board):
                self._tell("WATCHDOG=1")
            self.due = time.monotonic() + self._half

    def alive(self, board: Board) -> bool:
        """Return whether some worker takes requests, or none can yet and one loads."""
        now = time.monotonic()
        entries = board.entries()
        ready = [entry for entry in entries if entry.state == READY]
        if not ready:
            return any(entry.state == STARTING and now - entry.since < WAITING_S for entry in entries)
        # A sign is made once a second.
        recently = now - max(self._half, 2 * SIGNS_EVERY_S)
        return any(entry.sign > recently for entry in ready)
