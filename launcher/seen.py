"""What answers about modules were made from: paths, and what was there."""

from __future__ import annotations

import _imp
import os
import stat

from .lean import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import TypeAlias


SUFFIXES = (*_imp.extension_suffixes(), ".py", ".pyc")
"""In the order in which an import tries them. Source: importlib.machinery.FileFinder, Python 3.11 to 3.14."""

State: TypeAlias = "list[int] | None"
"""Inode, size, and the times of the last change to the content and to the inode, in nanoseconds; None: not there."""

UNREAD: State = []
"""The state of a file that is there and could not be read: another user may, or the same one a moment later."""


class Seen(Record):
    """All that answers rest on; as long as it holds, so do they."""

    kinds: dict[str, int | None]
    """Path -> what was there, as `Directories` say it."""
    files: dict[str, State]
    """File that was read -> its state then."""
    folders: dict[str, list[str]]
    """Directory of a package -> what may be a submodule in it."""

    def holds(self) -> bool:
        """Return whether all of it is as it was. No file is read: a state says whether one has changed."""
        directories = Directories()
        return (
            all(directories.kind(path) == kind for path, kind in self.kinds.items())
            and all(state_of(file) == state for file, state in self.files.items())
            and all(submodules_in(folder) == names for folder, names in self.folders.items())
        )

    def add(self, more: Seen) -> bool:
        """Take in what was seen after it, unless something had changed meanwhile: return whether nothing had."""
        for known, new in ((self.kinds, more.kinds), (self.files, more.files), (self.folders, more.folders)):
            if any(new.get(path, there) != there for path, there in known.items()):
                return False
        self.kinds.update(more.kinds)
        self.files.update(more.files)
        self.folders.update(more.folders)
        return True

    def settled_before(self, moment: int) -> bool:
        """Return whether every file was read, and none changed at `moment` (nanoseconds since the epoch) or later.

        One that did may change once more in the same tick of its file system's clock, and look as it does now.
        """
        return all(state is None or (state != UNREAD and max(state[2:]) < moment) for state in self.files.values())


class Directories:
    """What is in directories: each is listed at most once, and looked into only for what the list holds."""

    def __init__(self) -> None:
        self._listed: dict[str, frozenset[str] | None] = {}

    def kind(self, path: str) -> int | None:
        """Return the type of a file, symbolic links followed (`stat.S_IFMT`); None where nothing is to be seen."""
        folder, _, name = path.rpartition(os.sep)
        if folder not in self._listed:
            self._listed[folder] = _entries(folder)
        listed = self._listed[folder]
        if listed is not None and name not in listed:
            return None
        try:
            return stat.S_IFMT(os.stat(path).st_mode)
        except (OSError, ValueError):
            return None


def _entries(folder: str) -> frozenset[str] | None:
    """Return what a directory holds; None where that may not be known."""
    try:
        return frozenset(os.listdir(folder or os.sep))
    except PermissionError:
        return None
    except OSError:
        return frozenset()


def state_of(file: str) -> State:
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def submodules_in(folder: str) -> list[str]:
    """Return what may be submodules of a package that has this directory, in order."""
    try:
        entries = os.listdir(folder)
    except OSError:
        return []
    parts = [entry.partition(".") for entry in entries if "." not in entry or entry.endswith(SUFFIXES)]
    return sorted({stem for stem, _, _ in parts} - {"__init__", "__pycache__"})
