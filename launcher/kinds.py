"""Kinds of value: how TOML values, variables and flags become typed ones, and how these are shown again.

TOML has types, so a file must use them: `workers = "4"` is refused. Variables and flags are text, so each
kind reads text too. Both raise BadValue with half a sentence that follows "key = value ".
"""

from __future__ import annotations

import _socket

from .address import Address, parse_address
from .lean import TYPE_CHECKING, Generic, Record, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Literal, TypeAlias


T = TypeVar("T")
Schema: TypeAlias = "dict[str, Any]"

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class BadValue(ValueError):
    """What is wrong with a value, as half a sentence."""

    item: int | None = None
    """Index of the item that is wrong, where the value is a list."""


class Kind(Generic[T]):
    """One way to read values. Subclasses say how; where they do not, text is read as TOML text is."""

    metavar = "TEXT"
    many = False
    """Whether a flag may be given again to add to the list or table."""

    def from_toml(self, raw: object) -> T:
        raise NotImplementedError

    def from_text(self, text: str) -> T:
        return self.from_toml(text)

    def show(self, value: T) -> Any:
        """Return the value as TOML and JSON would hold it."""
        return value

    def schema(self) -> Schema:
        raise NotImplementedError


class Text(Kind[str]):
    def __init__(self, metavar: str = "TEXT", check: Callable[[str], str | None] | None = None) -> None:
        self.metavar = metavar
        self._check = check

    def from_toml(self, raw: object) -> str:
        if not isinstance(raw, str):
            raise BadValue(f"is {type_name(raw)}, and text is wanted")
        if not raw or "\0" in raw:
            raise BadValue("is empty" if not raw else "holds a NUL")
        complaint = self._check(raw) if self._check else None
        if complaint:
            raise BadValue(complaint)
        return raw

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1}


class Path(Text):
    """A path, made absolute by the layer that reads it. `words` are values that are no paths, such as `-`."""

    def __init__(self, *words: str) -> None:
        super().__init__("PATH")
        self.words = words


class Choice(Kind[str]):
    def __init__(self, *choices: str) -> None:
        self.choices = choices
        self.metavar = "|".join(choices)

    def from_toml(self, raw: object) -> str:
        if isinstance(raw, str) and raw in self.choices:
            return raw
        raise BadValue(f"is none of: {', '.join(self.choices)}")

    def schema(self) -> Schema:
        return {"enum": list(self.choices)}


class Flag(Kind[bool]):
    metavar = ""

    def from_toml(self, raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        raise BadValue(f"is {type_name(raw)}, and true or false is wanted")

    def from_text(self, text: str) -> bool:
        if text.lower() in TRUE + FALSE:
            return text.lower() in TRUE
        raise BadValue("is neither true nor false")

    def schema(self) -> Schema:
        return {"type": "boolean"}


class Number(Kind[int]):
    metavar = "N"

    def __init__(self, least: int = 0, most: int = 2**31 - 1) -> None:
        self.least, self.most = least, most

    def from_toml(self, raw: object) -> int:
        if not isinstance(raw, int) or isinstance(raw, bool):
            raise BadValue(f"is {type_name(raw)}, and a whole number is wanted")
        if not self.least <= raw <= self.most:
            raise BadValue(f"is not from {self.least} to {self.most}")
        return raw

    def from_text(self, text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
            raise BadValue("is not a whole number")
        return self.from_toml(int(text))

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


class NumberOrAuto(Kind["int | Literal['auto']"]):
    """A number, or `auto`, which the plan turns into one."""

    metavar = "N|auto"

    def __init__(self, least: int = 1, most: int = 1024) -> None:
        self._number = Number(least, most)

    def from_toml(self, raw: object) -> int | Literal["auto"]:
        if raw == "auto":
            return "auto"
        if isinstance(raw, str):
            raise BadValue('is text, and a whole number or "auto" is wanted')
        return self._number.from_toml(raw)

    def from_text(self, text: str) -> int | Literal["auto"]:
        return "auto" if text == "auto" else self._number.from_text(text)

    def schema(self) -> Schema:
        return {"anyOf": [self._number.schema(), {"const": "auto"}]}


class Mode(Kind[int]):
    """Permission bits, written as octal text: `"0660"`. A TOML number would be decimal, so none is taken."""

    metavar = "MODE"

    def from_toml(self, raw: object) -> int:
        digits = raw.removeprefix("0o") if isinstance(raw, str) else ""
        if not digits or len(digits) > 4 or digits.strip("01234567"):
            raise BadValue('is no mode: write octal digits in quotes, such as "0660"')
        return int(digits, 8)

    def show(self, value: int) -> str:
        return f"{value:04o}"

    def schema(self) -> Schema:
        return {"type": "string", "pattern": "^(0o)?[0-7]{1,4}$"}


class ListOf(Kind[tuple[T, ...]]):
    """A list; a single value counts as a list of one, and text is split at commas."""

    many = True

    def __init__(self, item: Kind[T]) -> None:
        self.item = item
        self.metavar = item.metavar

    def from_toml(self, raw: object) -> tuple[T, ...]:
        values = raw if isinstance(raw, list) else [raw]
        items = []
        for index, value in enumerate(values):
            try:
                items.append(self.item.from_toml(value))
            except BadValue as error:
                error.item = index
                raise
        return tuple(items)

    def from_text(self, text: str) -> tuple[T, ...]:
        return tuple(self.item.from_text(part.strip()) for part in text.split(",") if part.strip())

    def show(self, value: tuple[T, ...]) -> list[Any]:
        return [self.item.show(item) for item in value]

    def schema(self) -> Schema:
        return {"anyOf": [self.item.schema(), {"type": "array", "items": self.item.schema()}]}


class AddressKind(Kind[Address]):
    metavar = "ADDRESS"

    def from_toml(self, raw: object) -> Address:
        if not isinstance(raw, str):
            raise BadValue(f'is {type_name(raw)}, and an address such as "127.0.0.1:8000" is wanted')
        try:
            return parse_address(raw)
        except ValueError as error:
            raise BadValue(str(error)) from None

    def show(self, value: Address) -> str:
        return str(value)

    def schema(self) -> Schema:
        return {"type": "string"}


class Network(Text):
    """`unix`, `*`, an IP address, or a network such as `10.0.0.0/8`."""

    def __init__(self) -> None:
        super().__init__("NETWORK", _network_complaint)


class Table(Kind["Mapping[str, str]"]):
    """Text by name. Layers flatten tables, so each entry has its own origin."""

    many, metavar = True, "NAME=VALUE"

    def from_toml(self, raw: object) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise BadValue(f"is {type_name(raw)}, and a table is wanted")
        return {name: self.entry(value) for name, value in raw.items()}

    def entry(self, raw: object) -> str:
        if isinstance(raw, bool):
            return "1" if raw else ""
        if isinstance(raw, (str, int, float)):
            return str(raw)
        raise BadValue(f"is {type_name(raw)}, and text is wanted")

    def from_text(self, text: str) -> Mapping[str, str]:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadValue("is not NAME=VALUE")
        return {name: value}

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


class Middleware(Record):
    """One entry of `middleware`: what wraps the application, and with which keyword arguments."""

    use: str
    options: Mapping[str, Any]
    line: int | None = None
    """Where the entry stands in its file."""


class MiddlewareKind(Kind[Middleware]):
    metavar = "MODULE:FACTORY"

    def from_toml(self, raw: object) -> Middleware:
        options = dict(raw) if isinstance(raw, dict) else {}
        use = options.pop("use", None) if isinstance(raw, dict) else raw
        if not isinstance(use, str):
            raise BadValue('is neither "module:factory" nor {use = "module:factory", ...}')
        module, colon, name = use.partition(":")
        if not colon or not _dotted(module) or not _dotted(name):
            raise BadValue("is not written module:factory")
        for key, value in options.items():
            if not _as_json(value):
                raise BadValue(f"gives {key} a date or a number without bounds; write it as text")
        return Middleware(use, options)

    def show(self, value: Middleware) -> Any:
        return {"use": value.use, **value.options} if value.options else value.use

    def schema(self) -> Schema:
        entry = {"type": "object", "properties": {"use": {"type": "string"}}, "required": ["use"]}
        return {"anyOf": [{"type": "string"}, entry]}


def module_complaint(text: str) -> str | None:
    """Complain about text that is no dotted module name."""
    return None if _dotted(text) else "is not a module name such as mysite.settings.prod"


def path_complaint(text: str) -> str | None:
    """Complain about text that is no path of a URL."""
    if text.startswith("/") and text.isascii() and not any(character.isspace() for character in text):
        return None
    return "is not a path such as /health/"


def _as_json(value: object) -> bool:
    """Return whether JSON can carry a TOML value: workers are told of it so."""
    if isinstance(value, dict | list):
        return all(map(_as_json, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str | int) or (isinstance(value, float) and abs(value) < float("inf"))


def _dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _network_complaint(text: str) -> str | None:
    """Complain as ipaddress would, which costs a start 10 ms."""
    if text in ("unix", "*"):
        return None
    address, slash, prefix = text.partition("/")
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    try:
        packed = _socket.inet_pton(family, address)
    except (OSError, ValueError):
        return "is neither an IP address, a network such as 10.0.0.0/8, unix, nor *"
    bits = len(packed) * 8
    if not slash:
        return None
    if not (prefix.isascii() and prefix.isdigit()) or int(prefix) > bits:
        return f"has no prefix length from 0 to {bits} after the slash"
    if int.from_bytes(packed, "big") & ((1 << (bits - int(prefix))) - 1):
        return "is no network: bits are set after its prefix"
    return None


def type_name(raw: object) -> str:
    names: Sequence[tuple[type, str]] = (
        (bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "text"),
        (list, "a list"), (dict, "a table"),
    )  # fmt: skip
    return next((name for kind, name in names if isinstance(raw, kind)), "a date")
