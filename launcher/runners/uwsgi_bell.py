"""The bell of uWSGI's master: a pipe that has the number of each signal that came, whatever the master is doing.

The master of uWSGI 2.0.30 is C. Python's own handler of a signal, put in place when uWSGI has put its own, writes the
number into the pipe at once, and not only when Python is run.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

_pipe: tuple[int, int] | None = None
"""For reading, for writing."""


def note(numbers: Iterable[int]) -> None:
    """Have these signals noted from now on."""
    global _pipe
    if _pipe is None:
        _pipe = os.pipe()
        for end in _pipe:
            os.set_blocking(end, False)
    signal.set_wakeup_fd(_pipe[1], warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, _noted)


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing: the number is in the pipe."""


def fileno() -> int:
    """Return what can be read when there is a number."""
    assert _pipe is not None
    return _pipe[0]


def ring(number: int) -> None:
    """Note a signal that did not come."""
    assert _pipe is not None
    os.write(_pipe[1], bytes([number]))


def heard() -> bytes:
    """Return the numbers of the signals that have come.

    Where uWSGI 2.0.30 begins it ignores SIGTERM for a millisecond; SIGCONT, which systemd sends behind it, tells the
    same.
    """
    with contextlib.suppress(BlockingIOError):
        return os.read(fileno(), 4096).replace(bytes([signal.SIGCONT]), bytes([signal.SIGTERM]))
    return b""


def wait(seconds: float) -> bytes:
    """Wait for a signal where nothing else does; return the numbers of those that have come."""
    select.select([fileno()], [], [], seconds)
    return heard()
