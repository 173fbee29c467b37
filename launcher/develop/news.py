"""What the development loop says: to the terminal, and in the record that `serve status` and `serve reload` read."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from .. import instance
from ..board import Board
from .channel import WORKER
from .failures import refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..errors import LaunchError


class News:
    """One loop's words."""

    def __init__(self, directory: str | None, *, colour: bool) -> None:
        """`directory` has the record of this server, if there is one."""
        self.colour = colour
        self._directory = directory
        self._board = Board.of(directory)
        self._generation = self._main = 0
        self._ready = False
        self._told: set[str] = set()
        """Modules of which was said that they cannot be held."""
        self._asked: float | None = None
        """When a reload was asked for that has not ended."""

    def say(self, text: str) -> None:
        """Write lines to standard error."""
        try:
            sys.stderr.write("".join(f"serve: {line}\n" for line in text.splitlines()[:1]))
            sys.stderr.write("".join(f"{line}\n" for line in text.splitlines()[1:]))
            sys.stderr.flush()
        except OSError:
            # Whoever read it has gone. What waits to be written would be tried again at the end, and fail it.
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, sys.stderr.fileno())
            os.close(nothing)

    def refuse(self, error: LaunchError) -> None:
        """Say why a plan cannot be made."""
        for finding in error.findings:
            self.say(str(finding))
        self.reload_ends(str(error.findings[0]))

    def left_out(self, modules: Mapping[str, str]) -> None:
        """Say once of each module that cannot live through a fork that it is imported anew each time."""
        for name, reason in modules.items():
            if reason.startswith((f"{name} starts threads", f"{name} opens sockets")) and name not in self._told:
                self._told.add(name)
                self.say(f"each start imports it anew: {reason}")

    def server_begins(self, pid: int) -> None:
        """Let the main process stand on the board until workers have told of themselves."""
        self._generation += 1
        for entry in self._board.entries():
            self._board.clear(entry.row)
        self._board.enter(0, pid, self._generation)
        self._main, self._ready = pid, False

    def server_ready(self) -> None:
        self._ready = True
        for entry in self._board.entries():
            self._board.ready(entry.row)

    def workers(self, lines: Iterable[str]) -> None:
        """Give rows to the workers that a server tells of, for that of its main process, or of one that has ended."""
        for line in (line.removeprefix(WORKER) for line in lines if line.startswith(WORKER)):
            pid, *before = map(int, line.split())
            for entry in self._board.entries():
                if entry.pid in (self._main, *before) or instance.started(entry.pid) is None:
                    self._board.clear(entry.row)
            row = self._board.free()
            self._board.enter(row, pid, self._generation)
            if self._ready:
                self._board.ready(row)

    def reloaded(self, took_s: float, cold: str, names: str) -> None:
        """Say that a server took another's place, why its start was cold if it was, and what had changed."""
        text = f"reloaded in {took_s * 1000:.0f} ms"
        self.say(text + (f", cold ({cold})" if cold else "") + (f": {names}" if names else ""))

    def reload_begins(self) -> None:
        self._asked = time.time()
        self._record("proving", None, "")

    def reload_ends(self, reason: str) -> None:
        """Note how a reload ended that was asked for: well, or for a reason."""
        if self._asked is not None:
            self._record("done", not reason, reason)
            self._asked = None

    def _record(self, phase: str, ok: bool | None, reason: str) -> None:
        if self._directory is None:
            return
        path = os.path.join(self._directory, instance.RELOAD)
        before = instance.load(path)
        number = (before.get("number") or 0) + (ok is None)
        values: dict[str, Any] = {"number": number, "phase": phase, "ok": ok, "reason": reason}
        until = None if ok is None else time.time()
        values["instead"] = "the browser shows what is wrong"
        values |= {"generation": self._generation, "since": self._asked, "until": until}
        try:
            instance.write(path, values)
        except OSError as error:
            self.say(str(refused("note the reload", error, {})))
