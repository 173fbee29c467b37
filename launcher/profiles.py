"""Profiles: TOML files of option values, found by name or path, with `extends`."""

from __future__ import annotations

import os

from .errors import Exit, Finding, LaunchError, did_you_mean, unreadable
from .lean import TYPE_CHECKING, Record
from .origin import Layer, Origin
from .project import Project, is_file
from .tomlfile import TomlFile, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping


class Profile(Record):
    """One file of a profile's chain."""

    name: str
    path: str
    layer: str
    file: TomlFile


def shipped_directory() -> str:
    """Return where the profiles of this package are: inside it once installed, beside it in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))
    installed = os.path.join(package, "_profiles")
    return installed if os.path.isdir(installed) else os.path.join(os.path.dirname(package), "profiles")


def available(project: Project) -> Mapping[str, tuple[str, ...]]:
    """Return every profile's name with the files it would be read from, the project's own first.

    Raises LaunchError where the project's cannot be listed.
    """
    found: dict[str, list[str]] = {}
    for directory in (project.file("profiles"), shipped_directory()):
        try:
            with os.scandir(directory) as inside:
                files = [entry for entry in inside if entry.name.endswith(".toml") and not os.path.isdir(entry.path)]
            names = sorted(entry.name for entry in files)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise LaunchError(unreadable(project.shown(directory), error)) from error
        for name in names:
            paths = found.setdefault(name.removesuffix(".toml"), [])
            if os.path.join(directory, name) not in paths:
                paths.append(os.path.join(directory, name))
    return {name: tuple(found[name]) for name in sorted(found)}


def load_chain(wanted: str, project: Project, asked: Origin) -> tuple[Profile, ...]:
    """Return the files of a profile, lowest first: what it extends, then itself.

    A project's profile stands on the shipped one of the same name unless it says `extends`; of several
    parents the later beats the earlier. Raises LaunchError (exit status 3).
    """
    chain: list[Profile] = []
    _add(wanted, project, asked, project.cwd, (), chain)
    return tuple(chain)


def _add(wanted: str, project: Project, asked: Origin, base: str, below: tuple[str, ...], chain: list[Profile]) -> None:
    path = _find(wanted, project, asked, base, below)
    if path in below:
        names = " -> ".join(os.path.basename(step).removesuffix(".toml") for step in (*below, path))
        message = f"profiles extend each other: {names}"
        raise LaunchError(Finding("profile-cycle", message, "Take one `extends` out.", asked, Exit.PROFILE))
    if any(profile.path == path for profile in chain):
        return
    shipped = os.path.dirname(path) == shipped_directory()
    layer = Layer.SHIPPED if shipped else Layer.PROFILE
    name = profile_name(path)
    file = read_toml(path, f"{name}.toml (shipped)" if shipped else project.shown(path), layer)
    where = Origin(layer, file.name, file.line("extends"), "extends")
    for parent in _parents(file, name, shipped, where):
        _add(parent, project, where, os.path.dirname(path), (*below, path), chain)
    chain.append(Profile(name, path, layer, file))


def _parents(file: TomlFile, name: str, shipped: bool, where: Origin) -> tuple[str, ...]:
    extends = file.data.get("extends")
    if extends is None:
        base = os.path.join(shipped_directory(), f"{name}.toml")
        return (name,) if not shipped and os.path.isfile(base) else ()
    names = extends if isinstance(extends, list) else [extends]
    if not all(isinstance(parent, str) and parent for parent in names):
        message = "extends is neither a profile nor a list of profiles"
        raise LaunchError(Finding("wrong-type", message, 'Write extends = "prod".', where, Exit.PROFILE))
    return tuple(names)


def profile_name(wanted: str) -> str:
    """Return the name of a profile given by name or path."""
    return os.path.basename(wanted).removesuffix(".toml")


def is_path(wanted: str) -> bool:
    return os.sep in wanted or wanted.endswith(".toml")


def _find(wanted: str, project: Project, asked: Origin, base: str, below: tuple[str, ...]) -> str:
    """Return the file of a profile: a path from `base`, the project's own, or the shipped one."""
    if is_path(wanted):
        path = os.path.normpath(os.path.join(base, os.path.expanduser(wanted)))
        if is_file(path, project.shown(path)):
            return path
        finding = Finding("missing-profile", f"there is no file {wanted}", "", asked, Exit.PROFILE)
        raise LaunchError(finding)
    own = project.file("profiles", f"{wanted}.toml")
    shipped = os.path.join(shipped_directory(), f"{wanted}.toml")
    # A profile that extends its own name means the shipped one under it.
    if is_file(own, project.shown(own)) and not (below and below[-1] == own and os.path.isfile(shipped)):
        return own
    if os.path.isfile(shipped):
        return shipped
    names = available(project)
    fix = f"{did_you_mean(wanted, names)} There are: {', '.join(names)}.".lstrip()
    raise LaunchError(Finding("missing-profile", f"there is no profile '{wanted}'", fix, asked, Exit.PROFILE))
