"""The draft of a plan: the project, its profile, and every layer, found and merged before anything is decided."""

from __future__ import annotations

import os

from . import layers
from .errors import Exit, Finding, LaunchError
from .lean import TYPE_CHECKING, Record
from .origin import Layer, Origin, Setting
from .profiles import Profile, load_chain, profile_name
from .project import Project, find_project, is_file
from .request import Request
from .tomlfile import mentions, read_toml

if TYPE_CHECKING:
    from typing import Any


class Draft(Record):
    """Layers found and merged, before anything is decided."""

    project: Project
    chain: tuple[Profile, ...]
    merged: layers.Merged
    findings: tuple[Finding, ...]


def draft_of(request: Request) -> Draft:
    """Find the project, the profile and every layer."""
    findings: list[Finding] = []
    flags, problems = layers.from_flags(request.said, request.cwd)
    findings += problems
    variables, problems = layers.from_environ(request.environ, request.cwd)
    findings += problems
    project = _project(request, variables, flags)
    chdir = layers.merge([variables, flags]).settings["chdir"]
    if chdir.value and (missing := missing_directory(chdir.value, chdir.origin)):
        raise LaunchError(*findings, missing)
    pyproject, problems = _pyproject(project)
    findings += problems
    wanted: Setting[Any] = layers.merge([pyproject, variables, flags]).settings["profile"]
    # `wanted` falls back to the default where a layer's value is bad; the finding is made again below.
    shipped: list[layers.RawValues] = []
    own: list[layers.RawValues] = []
    chain = load_chain(wanted.value, project, wanted.origin)
    for profile in chain:
        values, problems = layers.from_toml(profile.file, (), profile.layer, project.root)
        findings += problems
        (shipped if profile.layer == Layer.SHIPPED else own).append(values)
    files = [*shipped, pyproject, *own]
    below = layers.merge(files).settings["bind"].value or ()
    aliases, problems = layers.from_aliases(request.environ, below)
    findings += problems
    merged = layers.merge([*files, aliases, variables, flags])
    return Draft(project, chain, merged, (*findings, *merged.findings))


def missing_directory(path: str, origin: Origin) -> Finding | None:
    """Return what ends a start at once: all else would be missing for this reason alone."""
    if os.path.isdir(path):
        return None
    return Finding("no-directory", f"there is no directory {path}", "", origin, Exit.USAGE)


def meant(request: Request) -> tuple[str, str]:
    """Return the project's directory and the name of the profile: by these a running server is found.

    Its files may have been broken since it started, and are not read. Raises LaunchError for a broken pyproject.toml.
    """
    flags, variables = (
        layers.from_flags(request.said, request.cwd)[0],
        layers.from_environ(request.environ, request.cwd)[0],
    )
    project = _project(request, variables, flags)
    wanted = layers.merge([_pyproject(project)[0], variables, flags]).settings["profile"].value
    return project.root, profile_name(wanted)


def _project(request: Request, *said: layers.RawValues) -> Project:
    start = layers.merge(said).settings["chdir"].value or request.cwd
    return find_project(start, request.cwd)


def _pyproject(project: Project) -> tuple[layers.RawValues, list[Finding]]:
    path = project.file("pyproject.toml")
    if not is_file(path, project.shown(path)) or not mentions(path, "serve"):
        return {}, []
    file = read_toml(path, project.shown(path), Layer.PYPROJECT)
    if "serve" not in (file.data.get("tool") or {}):
        return {}, []
    return layers.from_toml(file, ("tool", "serve"), Layer.PYPROJECT, project.root)
