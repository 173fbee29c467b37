"""Import what is not the project's, and find out what a fork must not inherit.

A module is held only if importing it here, before the project, gives what importing it there would give. It is left
out when its import fails or asks for the project (Django's settings are the project's), reads a variable that the
project changes, or leaves threads or sockets behind; and with it all modules whose import asked for it.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from ..installed import is_installed
from ..modules import file_of, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

Modules = list[tuple[str, str]]

AT_WORK = ("launcher.wsgi", "launcher.runners.uwsgi_worker")
"""Their import loads the application."""


class Preload:
    """One attempt. What it finds must be left out is left out by another process: imports cannot be undone."""

    def __init__(self, modules: Modules, left_out: Mapping[str, str], variables: Collection[str]) -> None:
        """`modules` in the order of their imports, the project's among them; `variables` that the project changes."""
        self._wanted = [(name, file) for name, file in modules if is_installed(file) and name not in AT_WORK]
        self._projects = {name for name, file in modules if file and not is_installed(file)}
        self._known = {name for name, _ in modules}
        self._left_out = left_out
        self._variables = frozenset(variables)
        self._asked: dict[str, set[str]] = {}
        """Module -> those whose import asked for it."""
        self._undo: Callable[[], None] = lambda: None
        self.flagged: dict[str, str] = {}
        """Module -> why it must not be held."""

    def run(self, *, careful: bool = False) -> None:
        """Import; `careful` looks after each module for what it left behind."""
        gc.disable()
        sys.meta_path.insert(0, self)
        usual = os._Environ.__getitem__
        if self._variables:
            os._Environ.__getitem__ = self._reading(usual)  # type: ignore[method-assign]
        self._watch_django()
        heard, sys.unraisablehook = sys.unraisablehook, _keep_quiet
        try:
            for name, _ in self._wanted:
                if name not in self._left_out and name not in sys.modules:
                    self._import(name, careful=careful)
        finally:
            os._Environ.__getitem__ = usual  # type: ignore[method-assign]
            self._undo()
            sys.meta_path.remove(self)
            if sys.unraisablehook is _keep_quiet:
                sys.unraisablehook = heard
        for name, file in self._wanted:
            if name in self._left_out:
                continue
            module = sys.modules.get(name)
            if module is None:
                self._flag([name, *self._asked.get(name, ())], f"{name} cannot be imported without the settings")
            elif file_of(module) != file:
                self._flag([name, *self._asked.get(name, ())], f"{name} is another file")

    def _import(self, name: str, *, careful: bool) -> None:
        before = set(sys.modules)
        try:
            importlib.import_module(name)
        except BaseException:
            return  # seen at the end by its absence; the process is a trial, whatever is raised
        if careful and (reason := unforkable()):
            self._flag([name, *(sys.modules.keys() - before)], f"{name} {reason}")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Watch over an import that begins."""
        importing = under_import()
        self._asked.setdefault(name, set()).update(importing)
        reason = ""
        if name in self._left_out:
            reason = f"needs {name}"
        elif name in self._projects:
            reason = f"asks for the project's {name}"
        elif name not in self._known:
            found = PathFinder.find_spec(name, path)
            if found is not None and found.origin and os.path.isabs(found.origin) and not is_installed(found.origin):
                reason = f"asks for the project's {name}"
        if reason:
            self._flag(importing, reason)
            raise ModuleNotFoundError(f"{name} is left out", name=name)

    def _watch_django(self) -> None:
        """Notice who asks at import whether Django has its settings: here it has not."""
        if any(name == "django.conf" for name, _ in self._wanted):
            settings = importlib.import_module("django.conf").LazySettings
            usual = settings.configured

            def configured(this: Any) -> bool:
                # Signal.connect (Django 5.2) asks too, and only to assert something about the receiver.
                if sys._getframe(2).f_globals.get("__name__") != "django.dispatch.dispatcher":
                    self._flag(under_import(), "asks whether there are settings")
                answer: bool = usual.fget(this)
                return answer

            settings.configured = property(configured)
            self._undo = lambda: setattr(settings, "configured", usual)

    def _reading(self, usual: Any) -> Any:
        def read(environ: Any, name: str) -> Any:
            if name in self._variables:
                self._flag(under_import(), f"reads {name}, which the project changes")
            return usual(environ, name)

        return read

    def _flag(self, names: Iterable[str], reason: str) -> None:
        for name in names:
            self.flagged.setdefault(name, reason)


def _keep_quiet(_: object) -> None:
    """Tell nobody of an error that was swallowed: without settings there are others than in a server."""


def under_import() -> list[str]:
    """Return the modules whose import has begun and not ended. Source: `_initializing` of importlib, CPython 3.11."""
    return [name for name, module in list(sys.modules.items()) if getattr(spec_of(module), "_initializing", False)]


def unforkable() -> str:
    """Return what would not live through a fork; empty where all would."""
    if others := [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]:
        return f"starts threads ({', '.join(others)})"
    if _tasks() > 1:
        # Libraries that know of forks end their threads before one, and start others when they are used next.
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        if _tasks() > 1:
            return "starts threads"
    return "opens sockets" if _sockets() else ""


def _tasks() -> int:
    return len(os.listdir("/proc/self/task"))


def _sockets() -> int:
    """Count our sockets, but for those that were there when the process began."""
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if int(descriptor) not in inherited and os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):
                count += 1
        except OSError:
            continue
    return count


inherited: set[int] = set()
"""Descriptors that the process began with."""
