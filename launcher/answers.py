"""What can be said of modules without importing them (launcher.syntax says it)."""

from __future__ import annotations

from .lean import Record


class ModuleFile(Record):
    """Where a module is."""

    name: str
    file: str | None
    """Not always source: an extension module or a lone `.pyc` is found too. None for a namespace package."""
    package_path: tuple[str, ...] | None
    """The directories of a package: one, or several of a namespace package; None for a module."""

    @property
    def directory(self) -> str | None:
        """Of a package, the first there is."""
        return self.package_path[0] if self.package_path else None

    @property
    def has_source(self) -> bool:
        return self.file is not None and self.file.endswith(".py")


class Answer(Record):
    """What can be said about a name without importing its module."""

    kind: str
    """`literal`, `absent`, `unknown` (needs an import), `missing` (a module) or `syntax`."""
    value: str | None = None
    """Of a literal."""
    file: str = ""
    line: int | None = None
    reason: str = ""
    """Unknown: why, as the rest of a sentence about the name; missing and syntax: a clause."""
    module: str = ""
    """Missing: which one. `file` and `line` then say who imports it; empty where it is the one asked for."""


class SettingsNamed(Record):
    """The settings module that a `manage.py` or `wsgi.py` puts into the environment."""

    module: str
    line: int
    form: str
    """`setdefault`, or `assignment`, which beats the environment."""
