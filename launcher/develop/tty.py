"""The terminal that `serve` was typed on, which a debugger in a worker may leave changed."""

from __future__ import annotations

import os
import sys
import termios
from typing import Any


class Terminal:
    """Standard input, if that is a terminal."""

    def __init__(self) -> None:
        self._settings: list[Any] | None = None
        try:
            self._descriptor = sys.stdin.fileno()
            self._settings = termios.tcgetattr(self._descriptor)
        except (AttributeError, OSError, ValueError, termios.error):
            pass  # none, or closed

    def restore(self) -> None:
        """Put it as it was: readline turns the echo off, and a worker that is ended leaves it so."""
        if self._settings is None:
            return
        try:
            # Only where we are in front: a process in the background would be stopped for that.
            if os.tcgetpgrp(self._descriptor) == os.getpgrp():
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._settings)
        except (OSError, termios.error):
            pass

    def gone(self) -> bool:
        """Return whether it was closed."""
        return self._settings is not None and not os.isatty(self._descriptor)
