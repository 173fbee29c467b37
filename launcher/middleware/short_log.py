"""Write a short line for every answer, for a person who develops."""

from __future__ import annotations

import os
from time import localtime, time
from typing import TYPE_CHECKING

from .access_log import LONGEST_REQUEST, Exchange, LogFile, escape, watch

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

COLOURS = {"3": "\x1b[36m", "4": "\x1b[33m", "5": "\x1b[31m"}
"""First digit of a status -> what makes a terminal write cyan, yellow, red."""
PLAIN = "\x1b[0m"


def log_briefly(app: WSGIApplication, destination: str, quiet: str) -> WSGIApplication:
    """Log each answer to a file, or to stdout for `-`: `18:31:07 GET /polls/ 200 5.1 kB 12 ms`.

    The time is the local one, for Django its TIME_ZONE. On a terminal the lines have the colour of their status,
    unless NO_COLOR is set. What lies below the path `quiet` is logged only where it was not given out; empty
    excepts nothing. Raises OSError where the file cannot be opened.
    """
    return watch(app, ShortLog(destination, quiet), ShortExchange)


class ShortLog(LogFile):
    def __init__(self, destination: str, quiet: str) -> None:
        super().__init__(destination)
        self.quiet = quiet
        # Source: https://no-color.org
        self.coloured = os.isatty(self._fd) and not os.environ.get("NO_COLOR")

    def write(self, line: str) -> None:
        if line:
            super().write(line)

    def _time(self, second: int) -> str:
        now = localtime(second)
        return f"{now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d}"


class ShortExchange(Exchange):
    __slots__ = ()
    _log: ShortLog

    def _line(self, status: str, sent: int | str, took_us: int) -> str:
        request = self._fields[1].rpartition(" ")[0]
        quiet = self._log.quiet
        if quiet and request.startswith(quiet, len(self._method) + 1) and (status[0] == "2" or status == "304"):
            return ""
        size = "" if sent == "-" else f" {in_bytes(int(sent))}"
        stamp = self._log.stamp(int(time()))
        line = f"{stamp} {escape(request, LONGEST_REQUEST)} {status}{size} {in_seconds(took_us)}"
        colour = COLOURS.get(status[0], "") if self._log.coloured else ""
        return f"{colour}{line}{PLAIN}\n" if colour else f"{line}\n"


def in_bytes(size: int) -> str:
    """Return a size in a few figures: `512 B`, `5.1 kB`, `12.0 MB`."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:.1f} kB" if size < 999_950 else f"{size / 1e6:.1f} MB"


def in_seconds(took_us: int) -> str:
    """Return a duration in a few figures: `0.4 ms`, `12 ms`, `1.5 s`."""
    if took_us < 9_950:
        return f"{took_us / 1e3:.1f} ms"
    return f"{took_us / 1e3:.0f} ms" if took_us < 999_500 else f"{took_us / 1e6:.1f} s"
