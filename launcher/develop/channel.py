"""What the development loop and its workers tell each other, by files in a directory that is theirs alone."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

from ..application import DEVELOP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VARIABLE = DEVELOP

NOTICES = "LAUNCHER_NOTICES"
"""Environment variable with the address where the loop listens to one server: NOTIFY_SOCKET is not for workers."""
WORKER = "WORKER="
"""What a worker says there, with its process, and the one that it was forked from since."""

LEARNT = "learnt.json"
"""From a worker that has loaded the application: what it consists of (launcher.develop.worker)."""
FAILURE = "failure.json"
"""From a worker that could not: `message`, `trace`, `files`."""
STALE = "stale.json"
"""From a worker that was started warm and must not be: `reason`."""
TEMPLATE = "template.json"
"""Between the loop and the process that warm starts are forked from: what it is to import, and what it holds."""
CHANGES = "changes"
"""From the loop: a line for each changed file that is read afresh without a restart."""


def server_log(pid: int) -> str:
    """Name what comes from a server that says much when it starts: its own messages, but not the application's."""
    return f"server-{pid}.log"


class Channel:
    """One directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.changes = os.path.join(directory, CHANGES)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Channel | None:
        directory = environ.get(VARIABLE)
        return cls(directory) if directory else None

    # From workers

    def tell(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write `LEARNT` or `FAILURE`; whoever reads it finds all or nothing."""
        path = os.path.join(self.directory, name)
        scratch = f"{path}.{os.getpid()}.{threading.get_ident()}"
        with open(scratch, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(json.dumps(facts))
        os.replace(scratch, path)

    def hear(self, name: str) -> dict[str, Any]:
        """Return what was told last; nothing where nothing was."""
        try:
            with open(os.path.join(self.directory, name), encoding="utf-8", errors="surrogateescape") as file:
                facts: dict[str, Any] = json.load(file)
        except (OSError, ValueError):
            return {}
        return facts

    def stamp(self, name: str) -> tuple[int, int] | None:
        """Return what is another each time that something is told; None where nothing was."""
        try:
            found = os.stat(os.path.join(self.directory, name))
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def last_lines(self, name: str, count: int) -> str:
        """Return the end of a log."""
        try:
            with open(os.path.join(self.directory, name), encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-count:])
        except OSError:
            return ""

    def forget(self, name: str) -> None:
        try:
            os.unlink(os.path.join(self.directory, name))
        except FileNotFoundError:
            pass

    # From the loop

    def changed(self, paths: Sequence[str]) -> None:
        """Note files that changed and are read afresh."""
        text = "".join(f"{json.dumps(path)}\n" for path in paths)
        with open(self.changes, "a", encoding="utf-8") as file:
            file.write(text)

    def size(self) -> int:
        """Return the length of `CHANGES`, another one after each change."""
        try:
            return os.stat(self.changes).st_size
        except FileNotFoundError:
            return 0


class Changes:
    """A worker's view of `CHANGES`; a look costs one system call where there is nothing new."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._seen = channel.size()

    def news(self) -> list[str]:
        """Return the files that changed since the last look."""
        seen = self._seen
        if self._channel.size() == seen:
            return []
        with open(self._channel.changes, "rb") as file:
            file.seek(seen)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._seen = seen + len(whole)  # another thread may do the same: then it is told twice
        return [json.loads(line) for line in whole.splitlines()]
