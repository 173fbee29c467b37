"""Servers that were told to go: each is told again while it ignores that, and killed when its time is up."""

from __future__ import annotations

import math
import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket

    from .terms import Running

KILL_AFTER_S = 2.0
"""What a server that was told to stop may take beyond `graceful_timeout`."""
AGAIN_S = 0.02
"""After this time a server that ignored it is told once more."""


class Told(NamedTuple):
    """One of them."""

    notices: socket.socket
    """Kept, for it has yet to say that it stops."""
    until: float
    """When it is killed."""
    again: float
    """When it is told once more."""


class Leaving:
    """Those that have not ended."""

    def __init__(self) -> None:
        self._told: dict[int, Told] = {}

    def __len__(self) -> int:
        return len(self._told)

    def tell(self, server: Running, number: int, grace_s: float) -> None:
        """Tell a server by a signal; it has so long for its requests."""
        until = time.monotonic() + grace_s + KILL_AFTER_S
        self._told[server.pid] = Told(server.notices, until, _say(server.pid, number))

    def hurry(self, number: int) -> None:
        """Tell all once more, by a signal that leaves them no time."""
        until = time.monotonic() + KILL_AFTER_S
        for pid, told in self._told.items():
            self._told[pid] = told._replace(until=min(told.until, until), again=_say(pid, number))

    def due(self) -> float:
        """Return when `look` has something to do."""
        return min((min(told.until, told.again) for told in self._told.values()), default=math.inf)

    def look(self) -> None:
        """Kill those whose time is up, and tell those again who did not hear."""
        now = time.monotonic()
        for pid, told in self._told.items():
            if now >= told.until:
                send(pid, signal.SIGKILL)
                self._told[pid] = told._replace(until=now + KILL_AFTER_S, again=math.inf)
            elif now >= told.again:
                self._told[pid] = told._replace(again=_say(pid, signal.SIGTERM))

    def bury(self, pid: int) -> bool:
        """Note that a process has ended; return whether it was one of them."""
        told = self._told.pop(pid, None)
        if told is not None:
            told.notices.close()
        return told is not None


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _say(pid: int, number: int) -> float:
    """Send a signal; return when to do so again, since it was ignored.

    uWSGI 2.0.30 ignores SIGTERM for some milliseconds of its start, and would serve old code then. Whoever has heard
    it must not hear it twice: to most servers that means to drop their clients.
    """
    before = _ignores(pid, number)
    send(pid, number)
    return time.monotonic() + AGAIN_S if before or _ignores(pid, number) else math.inf


def _ignores(pid: int, number: int) -> bool:
    """Return whether a process ignores a signal. Source: proc_pid_status(5), SigIgn."""
    try:
        with open(f"/proc/{pid}/status") as file:
            mask = next((line.split()[1] for line in file if line.startswith("SigIgn:")), "0")
    except OSError:
        return False  # it has ended
    return bool(int(mask, 16) >> (number - 1) & 1)
