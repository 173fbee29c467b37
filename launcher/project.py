"""The project: where it is, and the files in it that `serve` reads."""

from __future__ import annotations

import os

from .lean import Record

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
        if any(os.path.exists(os.path.join(directory, mark)) for mark in MARKS):
            return Project(directory, cwd)
        parent = os.path.dirname(directory)
        if parent == directory:
            return Project(start, cwd)
        directory = parent
