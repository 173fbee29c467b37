"""What is installed: distributions with their versions, and plug-ins found by entry point.

`importlib.metadata` would do the same in 50 ms; every start of a server would pay for it. This reads only
names of directories, and the `entry_points.txt` of those distributions that have one.
Source: "Recording installed projects" and "Entry points specification", packaging.python.org.
"""

from __future__ import annotations

import os
import sys

from .errors import Exit, Finding, LaunchError, hint_at
from .lean import TYPE_CHECKING, Record, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


BACKENDS = "launcher.backends"
EXPORTERS = "launcher.exporters"


class EntryPoint(Record):
    name: str
    target: str
    """`module:attribute`."""
    distribution: str

    def load(self) -> Any:
        module, _, attribute = self.target.partition(":")
        __import__(module)
        return getattr(sys.modules[module], attribute)


class Registry(Record):
    """A snapshot of what is installed."""

    versions: Mapping[str, str]
    """Normalised distribution name -> version."""
    entry_points: Mapping[str, tuple[EntryPoint, ...]]
    """Group -> entry points, of the groups that begin with `launcher.`."""

    def version(self, distribution: str) -> str | None:
        return self.versions.get(_normal(distribution))

    def names(self, group: str) -> tuple[str, ...]:
        return tuple(sorted({point.name for point in self.entry_points.get(group, ())}))

    def load(self, group: str, name: str) -> Any:
        """Return the object behind an entry point. Raises LaunchError if there is none or it is broken."""
        points = [point for point in self.entry_points.get(group, ()) if point.name == name]
        if not points:
            fix = hint_at(name, self.names(group))
            raise LaunchError(Finding("unknown-plugin", f"there is no {name} among {group}", fix, status=Exit.SERVER))
        targets = {point.target for point in points}
        if len(targets) > 1:
            homes = " and ".join(f"{point.target} of {point.distribution}" for point in points)
            message = f"two plug-ins are called '{name}': {homes}"
            raise LaunchError(Finding("plugin-clash", message, "Uninstall one of them.", status=Exit.SERVER))
        try:
            return points[0].load()
        except Exception as error:  # a stranger's module may raise anything
            message = f"plug-in '{name}' of {points[0].distribution} cannot be loaded: {error!r}"
            raise LaunchError(Finding("broken-plugin", message, "", status=Exit.SERVER)) from error


def _normal(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def read_registry(path: Iterable[str]) -> Registry:
    """Scan directories such as `sys.path`. Of two same-named distributions the first counts."""
    versions: dict[str, str] = {}
    points: dict[str, list[EntryPoint]] = {}
    for directory in dict.fromkeys(path):
        try:
            names = os.listdir(directory or ".")
        except OSError:
            continue
        for name in names:
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            distribution, _, version = name.rpartition(".")[0].partition("-")
            if _normal(distribution) in versions:
                continue
            versions[_normal(distribution)] = version.partition("-")[0]
            for group, point in _entry_points(os.path.join(directory, name, "entry_points.txt"), distribution):
                points.setdefault(group, []).append(point)
    return Registry(versions, {group: tuple(found) for group, found in points.items()})


def _entry_points(file: str, distribution: str) -> list[tuple[str, EntryPoint]]:
    try:
        content = read_file(file)
        text = content.decode() if b"[launcher." in content else ""
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    group = ""
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            group = line.strip("[] ")
        elif "=" in line and group.startswith("launcher."):
            name, _, target = line.partition("=")
            found.append((group, EntryPoint(name.strip(), target.partition("[")[0].strip(), distribution)))
    return found
