"""What the development loop knows of the project: its files, and which of them have changed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ..installed import is_installed
from .failures import refused
from .files import READ_AFRESH, Interest
from .watching import Watcher, why_poll

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .channel import Channel
    from .news import News


class Project:
    """The files that are watched."""

    def __init__(self, interest: Interest, channel: Channel, news: News) -> None:
        """Begin to watch."""
        self._interest = interest
        self._channel = channel
        self._news = news
        self._lesson: Mapping[str, Any] = {}
        poll = why_poll(interest.root)
        if poll:
            news.say(f"files are looked at twice a second: {poll}")
        self._poll = bool(poll)
        self._watcher = self._begin(interest.directories())
        self._watched_ns = time.monotonic_ns()
        """Since when all directories are watched."""

    def fileno(self) -> int:
        return self._watcher.fileno()

    def changes(self) -> set[str]:
        """Return the files whose changes want a restart, and tell workers of those that do not."""
        found = self._watcher.changes()
        self._tell_trouble(self._watcher)
        return self._sift(found, self._watcher.directories)

    def _begin(self, directories: frozenset[str]) -> Watcher:
        watcher = Watcher(directories, poll=self._poll)
        self._tell_trouble(watcher)
        return watcher

    def _tell_trouble(self, watcher: Watcher) -> None:
        if watcher.trouble and not self._poll:
            self._poll = True
            self._news.say(f"files are looked at twice a second from now on: {watcher.trouble}")

    def _sift(self, paths: set[str], watched: frozenset[str]) -> set[str]:
        """Return which of the changes want a restart that were noticed in these directories."""
        made = {path for path in paths if os.path.isdir(path)}
        restart: set[str] = set()
        if made or not watched.isdisjoint(paths):
            # What is watched is a directory, not its name: another one may have taken its place.
            restart = self._watch(anew=not watched.isdisjoint(made))
            paths = paths.union(_inside(made, self._watcher.directories))
        found = self._interest.sort(paths, watched)
        if found.afresh:
            try:
                self._channel.changed(found.afresh)
                self._news.say(f"{self.names(found.afresh)}: no restart needed")
            except OSError as error:
                self._news.say(str(refused(f"tell the server of {self.names(found.afresh)}", error, {})))
        restart.update(found.plan, found.restart)
        # Django looks once for the directories that applications have.
        restart.update(path for path in made.difference(self._interest.afresh) if os.path.basename(path) in READ_AFRESH)
        restart.update(path for path in made if os.path.islink(path))  # what lies there is not looked for
        return restart

    def _watch(self, *, anew: bool = False) -> set[str]:
        """Watch what there is to watch by now, if that differs or `anew`; return what has changed meanwhile."""
        directories = self._interest.directories()
        before = self._watcher
        if directories == before.directories and not anew:
            return set()
        try:
            self._watcher = self._begin(directories)
        except OSError as error:
            self._news.say(str(refused("watch what is new", error, {})))
            return set()
        self._watched_ns = time.monotonic_ns()
        return self._sift(before.last_changes(), before.directories)

    def renew(self, interest: Interest) -> set[str]:
        """Take over what another plan wants watched; return what it is made of and has changed since."""
        known = self._interest
        self._interest = interest._replace(loaded=known.loaded, afresh=known.afresh, outside=known.outside)
        return set(self.of_the_plan(self._watch()))

    def learn(self, lesson: Mapping[str, Any], since_ns: int) -> set[str]:
        """Watch what an application is made of; return what has changed since its server began."""
        self._lesson = lesson
        own = {file for _, file in lesson["modules"] if file and not is_installed(file)}
        inside = os.path.join(self._interest.root, "")
        # Such as packages that are installed to be edited. Beside a module that is in none may lie anything.
        outside = sorted(
            {
                os.path.dirname(file)
                for name, file in lesson["modules"]
                if file in own and not file.startswith(inside) and ("." in name or _is_package(file))
            }
        )
        self._interest = self._interest._replace(
            loaded=frozenset(own), afresh=tuple(lesson["afresh"]), outside=tuple(outside)
        )
        return self._missed(own, since_ns)

    def learn_failure(self, files: Iterable[str], since_ns: int) -> set[str]:
        """Watch the files that a traceback names; return what has changed since its server began."""
        own = {path for path in files if not is_installed(path)}
        self._interest = self._interest._replace(loaded=self._interest.loaded | own)
        return self._missed(own, since_ns)

    def _missed(self, files: Iterable[str], since_ns: int) -> set[str]:
        """Return what changed after a server began and before it was watched."""
        before = self._watcher
        late = self._watch()
        if self._watcher is not before:
            late |= self._watch()  # directories that were made before the one that they lie in was watched
        # The wall clock may have been set back since: then all that was saved before would be late, start after start.
        if since_ns - time.time_ns() + time.monotonic_ns() < self._watched_ns:
            late.update(_newer(files, since_ns))
            afresh = _inside(self._interest.afresh, self._watcher.directories)
            late |= self._sift(_newer(afresh, since_ns), self._watcher.directories)
        return late

    def of_the_plan(self, paths: Iterable[str]) -> list[str]:
        """Return those that the plan is made of."""
        return [path for path in paths if path in self._interest.plan]

    def of_the_target(self, paths: Iterable[str]) -> list[str]:
        """Return those that say which application is served."""
        return [path for path in paths if path in self._interest.looked_at]

    def settings(self, paths: Iterable[str]) -> list[str]:
        """Return those that are the settings module, or of its package where that is for settings alone."""
        names = set(self._lesson.get("settings", ()))
        packages = {name.rpartition(".")[0] for name in names if "settings" in name.rpartition(".")[0]}
        files, folders = set(self._interest.settings), set()
        for name, file in self._lesson.get("modules", ()):
            if name in names:
                files.add(file)
            # The profile may choose another module of that package, once there is one.
            if name.rpartition(".")[0] in packages or (name in names and _is_package(file)):
                folders.add(os.path.dirname(file))
        return [path for path in paths if path in files or os.path.dirname(path) in folders]

    def names(self, paths: Sequence[str]) -> str:
        """Return some paths as a person would call them."""
        shown = [os.path.relpath(path, self._interest.root) for path in paths[:2]]
        more = len(paths) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    def close(self) -> None:
        self._watcher.close()


def _is_package(file: str) -> bool:
    return os.path.basename(file).startswith("__init__.")


def _newer(paths: Iterable[str], since_ns: int) -> set[str]:
    newer = set()
    for path in paths:
        try:
            if os.stat(path).st_mtime_ns > since_ns:
                newer.add(path)
        except OSError:
            pass  # what was learnt may be of a server before
    return newer


def _inside(made: Iterable[str], watched: Iterable[str]) -> Iterator[str]:
    """Yield what lies in new directories, as far as they are watched: it may have come before they were."""
    roots = tuple(os.path.join(path, "") for path in made)
    for directory in watched:
        if os.path.join(directory, "").startswith(roots):
            try:
                yield from (entry.path for entry in os.scandir(directory))
            except OSError:
                pass  # gone meanwhile
