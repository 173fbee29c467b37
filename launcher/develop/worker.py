"""A worker in development: it tells what the application consists of, and reads again what needs no restart."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from ..application import ApplicationError, Step, load_target, run
from ..board import Board
from ..installed import is_installed
from ..middleware.stack import wrap
from ..modules import attributes, file_of, spec_of
from ..systemd import tell
from .bytecode import distrust
from .channel import LEARNT, NOTICES, STALE, WORKER, Changes, Channel
from .files import READ_AFRESH
from .standing import be_sure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from ..application import Spec

WARM = "LAUNCHER_WARM"
"""Environment variable of a server that was forked from a template: what its project was seen to change in the
environment when the template was made (`changed_variables`, JSON)."""
LEARNING_REQUESTS = 50
"""So many answers may bring modules that are imported late."""


def develop(spec: Spec, channel: Channel) -> WSGIApplication:
    """Load the application and tell what it is made of. Raises ApplicationError."""
    from .own_frames import show_own_frames  # the loop imports this module, and has no use for logging

    distrust()
    show_own_frames()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what is printed is seen at once, through a pipe too
    if seed := attributes(sys.modules.get("numpy.random")).get("seed"):
        seed()  # a template holds it; the random module does it by itself
    before = dict(os.environ)
    target = load_target(spec)
    django = "django.conf" in sys.modules
    if django and not spec.production:
        from .. import guard

        # Django would import views with the first request, and show the visitor what is wrong with them.
        run(Step("the URLs cannot be imported", "", spec), guard.import_urls)
    app = wrap(target, spec)
    be_sure()
    variables = changed_variables(before, os.environ)
    if WARM in before and json.loads(before[WARM]) != variables:
        channel.tell(STALE, {"reason": "the project changes other variables than before"})
        raise ApplicationError("the template was made for another environment.")
    lesson = Lesson(spec, channel, variables)
    lesson.tell()
    return attend(app, lesson, Changes(channel) if django else None, Count(channel))


def changed_variables(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that are no longer as they were; None for one that is gone."""
    names = before.keys() | after.keys()
    return {name: after.get(name) for name in sorted(names) if before.get(name) != after.get(name)}


class Known(NamedTuple):
    """What the loop knows: names of modules, and directories whose files are read afresh."""

    modules: frozenset[str] = frozenset()
    afresh: Sequence[str] = ()


known = Known()
"""A template sets it, for all that are forked from it."""


class Lesson:
    """What the loop learns of the application."""

    def __init__(self, spec: Spec, channel: Channel, variables: Mapping[str, str | None]) -> None:
        self._spec = spec
        self._channel = channel
        self._variables = variables
        self._known = known.modules if directories() == list(known.afresh) else frozenset()

    def tell(self) -> None:
        """Tell of the modules that there are, if there are others than last time."""
        if sys.modules.keys() <= self._known:
            return
        self._known = frozenset(sys.modules)
        modules = []
        for name, module in list(sys.modules.items()):
            spec = spec_of(module)
            # Some are known by a second name, or put there by hand: an import would not make them.
            modules.append((name, file_of(module) if spec is not None and spec.name == name else ""))
        self._channel.tell(
            LEARNT,
            {
                "modules": modules,
                "variables": self._variables,
                "afresh": directories(),
                "settings": [self._spec.settings] if self._spec.settings else [],
            },
        )


def directories() -> list[str]:
    """Return the directories of the project whose files Django reads again without a restart.

    What the settings name may be made later; for what applications have Django looks once.
    """
    if "django.conf" not in sys.modules:
        return []
    from django.apps import apps
    from django.conf import settings

    if not (settings.configured and apps.ready):
        return []
    found: list[Any] = [*settings.LOCALE_PATHS]
    for entry in settings.TEMPLATES:
        found += entry.get("DIRS", ())
    for entry in getattr(settings, "STATICFILES_DIRS", ()):
        found.append(entry[1] if isinstance(entry, (tuple, list)) else entry)
    for config in apps.get_app_configs():
        found += filter(os.path.isdir, (os.path.join(config.path, name) for name in READ_AFRESH))
    return sorted({path for path in map(os.path.abspath, found) if not is_installed(path)})


class Count:
    """The requests of this process, on the board of `serve status`."""

    def __init__(self, channel: Channel) -> None:
        self._board = Board.of(channel.directory)
        self._address = os.environ.pop(NOTICES, "")
        self._begin()

    def _begin(self, before: str = "") -> None:
        """Tell the loop of this process, which gives it a row."""
        self._row: int | None = None
        self._pid, self._requests = os.getpid(), 0
        tell(f"{WORKER}{self._pid} {before}", environ={"NOTIFY_SOCKET": self._address})

    def add(self) -> None:
        """Count one that comes."""
        if self._pid != os.getpid():  # as with `preload`
            self._begin(str(self._pid))
        self._requests += 1
        if self._row is None:
            self._row = self._board.row_of(self._pid)
        if self._row is not None:
            self._board.count(self._row, self._requests)


def attend(app: WSGIApplication, lesson: Lesson, changes: Changes | None, count: Count) -> WSGIApplication:
    """Tell Django of changed files before a request, and the loop of new modules after one."""
    left = LEARNING_REQUESTS

    def attended(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        nonlocal left
        if "uwsgi.version" in environ:
            environ["wsgi.errors"] = sys.stderr
        if changes is not None and (paths := changes.news()):
            tell_django(paths)
        count.add()
        answer = app(environ, start_response)
        if left:
            left -= 1
            return Told(answer, lesson)
        return answer

    return attended


class Told:
    """An answer, after which the loop is told of the modules that came with it."""

    def __init__(self, answer: Iterable[bytes], lesson: Lesson) -> None:
        self._answer = answer
        self._lesson = lesson

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        close = getattr(self._answer, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._lesson.tell()


def tell_django(paths: Iterable[str]) -> None:
    """Send Django's own signal: it clears the template loaders and the translations (Django 5.2)."""
    from pathlib import Path

    from django.utils.autoreload import file_changed

    for path in paths:
        file_changed.send(sender=None, file_path=Path(path))
