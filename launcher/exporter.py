"""The seam: one way to write a plan down for another program."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Container, Mapping

from .document import is_secret
from .errors import Exit, Finding, LaunchError
from .kinds import Flag, ListOf
from .lean import Record
from .native import Words
from .options import OPTIONS
from .origin import Layer
from .plan import LaunchPlan
from .profiles import is_path


class Exporter(Record):
    """One kind of `serve export`, found by entry point in the group `launcher.exporters`."""

    summary: str
    """One line for `serve export --help`."""
    directory: str
    """Where its files are installed: `--check` looks there."""
    render: Callable[..., Mapping[str, str]]
    """(plan, name of the site) -> file name -> text. It touches no disk. The first line of each file says which profile
    of which project it is for: a file that begins otherwise is not replaced. Keyword arguments of its own, which have
    defaults, are text that `--with NAME=VALUE` gives. Raises LaunchError."""


def words_of(exporter: Exporter) -> Mapping[str, str]:
    """Return the words that `--with` gives an exporter, with their defaults."""
    parameters = inspect.signature(exporter.render).parameters
    return {name: each.default for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}


def start_words(plan: LaunchPlan, without: Container[str] = ()) -> Words:
    """Return the words after `serve` that give the plan again, in the project's directory and without a variable.

    What flags and variables said becomes flags; what files say is left to the files. The server is named, since
    what is exported suits no other. `without` are options that the exporter sees to itself.
    Raises LaunchError where a secret would be written down.
    """
    said = {"profile": _profile(plan), "server": plan.backend.name}
    flags = [f"--{name}={text}" for name, text in said.items()]
    for name, option in OPTIONS.items():
        setting = plan.settings[name]
        spoken = setting.origin.layer in (Layer.COMMAND_LINE, Layer.ENVIRONMENT)
        if name in (*said, "app", "env") or name in without or not spoken:
            continue
        shown = "auto" if name == "workers" and plan.reckoned else option.show(setting.value)
        if isinstance(option.kind, Flag):
            flags.append(option.flag if setting.value else f"--no-{option.flag[2:]}")
        elif isinstance(option.kind, ListOf) and shown:
            flags += [f"{option.flag}={item}" for item in shown]
        else:
            flags.append(f"{option.flag}={'none' if shown is None else '' if shown == [] else shown}")
    app = plan.settings["app"]
    return (*flags, *_variables(plan), *([app.value] if app.origin.layer == Layer.COMMAND_LINE else []))


def _profile(plan: LaunchPlan) -> str:
    wanted: str = plan.settings["profile"].value
    return os.path.normpath(os.path.join(plan.project.cwd, os.path.expanduser(wanted))) if is_path(wanted) else wanted


def _variables(plan: LaunchPlan) -> list[str]:
    words = []
    for name, value in (plan.options.env or {}).items():
        origin = plan.settings[f"env.{name}"].origin
        if origin.layer != Layer.COMMAND_LINE:
            continue
        if is_secret(name, value):
            fix = "Put it into a file that only root reads, and name that in env_file."
            raise LaunchError(Finding("secret-exported", f"{name} would be written down", fix, origin, Exit.USAGE))
        words.append(f"--env={name}={value}")
    return words
