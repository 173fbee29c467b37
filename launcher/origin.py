"""Where a value came from, and what it beat.

The values of this package are `Record`s rather than dataclasses: `dataclasses` imports `inspect`,
which every start of a server would pay for (docs/decisions/0002-import-budget.md).
"""

from __future__ import annotations

from .lean import Generic, Record, TypeVar

T = TypeVar("T")


class Layer:
    """The sources of values, lowest first. A later layer beats an earlier one."""

    DEFAULT = "default"
    SHIPPED = "shipped profile"
    PROJECT = "project"
    """Found in the project itself: manage.py, a settings module."""
    PYPROJECT = "pyproject"
    PROFILE = "profile"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


class Origin(Record):
    """Who set a value."""

    layer: str
    source: str = ""
    """A file as the person would type it, a variable, or a flag; empty for a declared default."""
    line: int | None = None
    """1 for the first line; None where the source has no lines."""
    key: str = ""
    """The key as it was spelled."""

    def __str__(self) -> str:
        if not self.source:
            return self.layer
        return self.source if self.line is None else f"{self.source}:{self.line}"

    @property
    def option(self) -> str:
        """The option that the source itself names, being a flag or a variable."""
        spoken = self.layer in (Layer.ENVIRONMENT, Layer.COMMAND_LINE)
        return self.key.removeprefix("--").removeprefix("SERVE_").replace("-", "_").lower() if spoken else ""

    @property
    def personal(self) -> bool:
        """Whether somebody asked for the value, rather than a default or a shipped profile."""
        return self.layer not in (Layer.DEFAULT, Layer.SHIPPED)


DEFAULT = Origin(Layer.DEFAULT)


class Setting(Record, Generic[T]):
    """A value, its origin, and the values it shadowed, nearest first."""

    value: T
    origin: Origin
    shadowed: tuple[Setting[T], ...] = ()
