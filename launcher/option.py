"""What an option is: a declaration on a class, and a value on each of its instances."""

from __future__ import annotations

from .kinds import Table
from .lean import TYPE_CHECKING, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .kinds import Kind


T = TypeVar("T")


class Values:
    """The values of the options that a class declares. `None` means "the server decides" and nothing else."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def value(self, name: str) -> Any:
        return self._values.get(name)


class Option(Generic[T]):
    """One thing a person can set.

    On a class of `Values` it is the declaration; on an instance it is the value, so that
    `options.request_timeout` is `float | None` to the type checker.
    """

    name: str

    def __init__(
        self,
        kind: Kind[T],
        help: str,
        *,
        group: str,
        default: T | None = None,
        supplied: str = "",
        anywhere: bool = True,
    ) -> None:
        self.kind = kind
        self.help = help
        self.group = group
        self.default = default
        self.supplied = supplied
        """How we honour the option ourselves on every server; empty where each server has a rule."""
        self.anywhere = anywhere
        """Whether a profile may set it; if not, only `[tool.serve]`, variables and flags can."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Option[T]: ...
    @overload
    def __get__(self, instance: Values, owner: type) -> T | None: ...
    def __get__(self, instance: Values | None, owner: type) -> Option[T] | T | None:
        return self if instance is None else instance._values.get(self.name)

    @property
    def flag(self) -> str:
        """How the command line spells it: `APP` stands without a flag."""
        return "APP" if self.name == "app" else "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """How the environment spells it; a table has no variable."""
        return "" if isinstance(self.kind, Table) else "SERVE_" + self.name.upper()

    def show(self, value: T | None) -> Any:
        """Return the value as TOML and JSON would hold it; None means that the server decides."""
        return None if value is None else self.kind.show(value)
