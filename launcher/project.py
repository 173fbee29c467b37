"""The project: where it is, and the files in it that `serve` reads."""

from __future__ import annotations

import os
from stat import S_ISREG

from .errors import Exit, Finding, LaunchError, unreadable
from .lean import Record
from .origin import Layer, Origin

MARKS = ("manage.py", "pyproject.toml", "profiles")


class Project(Record):
    """A directory that holds a project."""

    root: str
    """Absolute."""
    cwd: str
    """Where the person stands: paths are shown relative to it."""

    def file(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def shown(self, path: str) -> str:
        """Return a path as the person would type it: relative where that is shorter."""
        relative = os.path.relpath(path, self.cwd)
        return path if relative.startswith("../../..") else relative


def find_project(start: str, cwd: str) -> Project:
    """Return the nearest directory from `start` upwards that looks like a project, or else `start`."""
    directory = start = os.path.abspath(start)
    while True:
        if any(there(os.path.join(directory, mark)) for mark in MARKS):
            return Project(directory, cwd)
        parent = os.path.dirname(directory)
        if parent == directory:
            return Project(start, cwd)
        directory = parent


def there(path: str) -> bool:
    """Return whether there is something of that name. Raises LaunchError where nobody may look."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        raise LaunchError(unreadable(path, error)) from error
    return True


def is_file(path: str, shown: str) -> bool:
    """Return whether there is such a file. Raises LaunchError where what is there cannot be read as one.

    To be told that a file is missing, where it cannot be reached, would start a site without what it says.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        if not os.path.islink(path):
            return False
        reason = "is a link that leads nowhere"
    except OSError as error:
        raise LaunchError(unreadable(shown, error)) from error
    else:
        if S_ISREG(mode):
            return True
        reason = "is no file"
    where = Origin(Layer.PROJECT, shown)
    raise LaunchError(Finding("no-file", reason, "Put a file there, or take it away.", where, Exit.PROFILE))
