"""Which files make the application what it is."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NEVER = frozenset(("__pycache__", "node_modules", "site-packages", "dist-packages"))
"""Directories that nobody edits, besides those whose name begins with a dot."""
KERNEL = ("/dev", "/proc", "/sys")
"""Where somebody has his project in `/`, as in a container."""
READ_AFRESH = ("templates", "jinja2", "static", "locale")
"""Directories of a Django application whose files need no restart."""
MODULES = (".py", ".so")


class Sorted(NamedTuple):
    """What changed, by what is to be done about it."""

    plan: list[str]
    """The profile or what it names: the plan is made anew."""
    restart: list[str]
    afresh: list[str]
    """What the framework reads again by itself, or by being told."""


class Interest(NamedTuple):
    """What is watched for."""

    root: str
    globs: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    """Directories besides the root from which modules are imported that are not installed."""
    plan: tuple[str, ...] = ()
    """Files that the plan is made of."""
    settings: tuple[str, ...] = ()
    """Files of settings that the plan was read from: workers load them too."""
    looked_at: frozenset[str] = frozenset()
    """Paths of modules that the plan rests on, there or not: the application may be another one then."""
    loaded: frozenset[str] = frozenset()
    """Files of the modules that are not installed, wherever they lie."""
    afresh: tuple[str, ...] = ()
    """Directories of templates, static files and translations."""
    outside: tuple[str, ...] = ()
    """Packages that lie elsewhere."""

    def sort(self, paths: Iterable[str], watched: frozenset[str]) -> Sorted:
        """Tell what is to be done about changes; `watched` are the directories that there are."""
        found = Sorted([], [], [])
        links = self._links()
        for path in sorted({links.get(path, path) for path in paths}):
            name = os.path.basename(path)
            if path in self.plan:
                found.plan.append(path)
            elif path in self.loaded or (path in watched and self._held(path)) or self._asked_for(path):
                found.restart.append(path)
            elif name.startswith((".", "#")) or name.endswith("~"):
                continue  # an editor's own
            elif _is_below(path, self.afresh):
                found.afresh.append(path)
            elif name.endswith(MODULES) and _is_below(path, (self.root, *self.path, *self.outside)):
                found.restart.append(path)
        return found

    def _held(self, directory: str) -> bool:
        """Return whether what counts lies in a directory, or did."""
        places = (*self.loaded, *self.plan, *self.afresh, *self._fixed())
        return any(place == directory or _is_below(place, [directory]) for place in places)

    def _links(self) -> dict[str, str]:
        """Return the files that are links, by what they lead to."""
        return {os.path.realpath(path): path for path in self._files() if os.path.islink(path)}

    def _files(self) -> set[str]:
        return {*self.plan, *self.settings, *self.loaded}

    def _fixed(self) -> list[str]:
        return [os.path.join(self.root, _fixed_part(glob)) for glob in self.globs]

    def _asked_for(self, path: str) -> bool:
        relative = os.path.relpath(path, self.root)
        return any(fnmatch.fnmatch(relative, glob) or fnmatch.fnmatch(path, glob) for glob in self.globs)

    def directories(self) -> frozenset[str]:
        """Return the directories to watch, each for what lies in it directly."""
        ignored = ignored_by_git(self.root)
        roots = dict.fromkeys(self._fixed(), frozenset[str]())
        roots |= dict.fromkeys((self.root, *self.path, *self.outside, *self.afresh), ignored)
        found = {os.path.dirname(path) for path in (*self._files(), *self._links())}
        for root, left_out in roots.items():
            found.update(_below(root, left_out) if os.path.isdir(root) else [_place_of(root)])
        return frozenset(directory for directory in found if os.path.isdir(directory))


def _is_below(path: str, directories: Iterable[str]) -> bool:
    return any(path.startswith(os.path.join(directory, "")) for directory in directories)


def _place_of(directory: str) -> str:
    """Return the directory in which one will appear that is made, with those above it as far as they are missing."""
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return directory


def _fixed_part(glob: str) -> str:
    """Return the directory that all files of a glob lie below."""
    fixed = glob
    while any(sign in fixed for sign in "*?["):
        fixed = os.path.dirname(fixed)
    return fixed if fixed != glob else os.path.dirname(glob)


def _below(root: str, ignored: frozenset[str]) -> Iterator[str]:
    """Yield a directory and those below it, but for what nobody edits: environments, caches, what git ignores."""
    yield root
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for path in [os.path.join(root, name) for name in names if name[0] != "." and name not in NEVER]:
        if path not in ignored and path not in KERNEL and not os.path.exists(os.path.join(path, "pyvenv.cfg")):
            yield from _below(path, ignored)


def ignored_by_git(root: str) -> frozenset[str]:
    """Return the directories that git ignores; none where there is no git."""
    words = ["git", "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"]
    try:
        answer = subprocess.run(words, cwd=root, capture_output=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return frozenset()
    names = answer.decode(sys.getfilesystemencoding(), "surrogateescape").split("\0")
    return frozenset(os.path.join(root, name.rstrip("/")) for name in names if name.endswith("/"))
