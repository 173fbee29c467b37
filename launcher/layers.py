"""Layers of raw values, each with its origin, and their merge into typed settings."""

from __future__ import annotations

import os

from .address import Address
from .errors import Exit, Finding, did_you_mean, hint_at
from .kinds import AddressKind, BadValue, ListOf, MiddlewareKind, Path, Table
from .lean import TYPE_CHECKING, Record
from .option import Option
from .options import OPTIONS
from .origin import DEFAULT, Layer, Origin, Setting
from .tomlfile import TomlFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any, TypeAlias


NATIVE = "native"
DEFAULTS = {name: Setting(option.default, DEFAULT) for name, option in OPTIONS.items()}


class Raw(Record):
    """A value as it was written."""

    value: object
    origin: Origin
    text: bool = False
    """Whether it came as text and the option's kind must read it."""
    base: str = ""
    """Directory that relative paths start from."""
    lines: tuple[int | None, ...] = ()
    """Line of each item, where the value is a list of a file."""


RawValues: TypeAlias = "Mapping[str, Raw]"
"""One layer: dotted name -> raw value. Tables are flattened: `env.DEBUG`, `native.gunicorn.worker_class`."""


class Merged(Record):
    """The winners, the losers behind them, and what was wrong with any of them."""

    settings: Mapping[str, Setting[Any]]
    """By dotted name; every option is here, tables by entry as well."""
    native: Mapping[str, Mapping[str, Setting[Any]]]
    """Server -> native key -> value, untouched."""
    findings: tuple[Finding, ...]


def from_toml(file: TomlFile, section: Sequence[str], layer: str, base: str) -> tuple[RawValues, list[Finding]]:
    """Read a table of option values: the whole file (`section` empty) or `[tool.serve]`."""
    table: Any = file.data
    for name in section:
        table = table.get(name, {}) if isinstance(table, dict) else {}
    values: dict[str, Raw] = {}
    findings: list[Finding] = []
    if not isinstance(table, dict):
        where = Origin(layer, file.name, file.line(*section))
        return {}, [Finding("wrong-type", "tool.serve is no table", "", where, Exit.PROFILE)]
    for key, value in table.items():
        where = Origin(layer, file.name, file.line(*section, key), key)
        option = OPTIONS.get(key)
        if key == "extends" and not section:
            continue
        if key == NATIVE:
            _flatten_native(file, (*section, key), layer, value, values, findings)
        elif option is None:
            findings.append(_unknown_key(key, value, where))
        elif not option.anywhere and not section:
            fix = f"Give {option.flag}, {option.variable}, or [tool.serve] in pyproject.toml."
            findings.append(Finding("misplaced-key", f"a profile cannot set '{key}'", fix, where, Exit.PROFILE))
        elif isinstance(option.kind, Table) and isinstance(value, dict):
            for name, entry in value.items():
                line = file.line(*section, key, name)
                values[f"{key}.{name}"] = Raw(entry, Origin(layer, file.name, line, f"{key}.{name}"), base=base)
        else:
            items = range(len(value)) if isinstance(value, list) else ()
            lines = tuple(file.line(*section, key, index) for index in items)
            values[key] = Raw(value, where, base=base, lines=lines)
    return values, findings


def _flatten_native(
    file: TomlFile,
    section: Sequence[str],
    layer: str,
    table: object,
    values: dict[str, Raw],
    findings: list[Finding],
) -> None:
    for server, entries in table.items() if isinstance(table, dict) else [("", None)]:
        if not isinstance(entries, dict):
            where = Origin(layer, file.name, file.line(*section, server))
            fix = "Write [native.gunicorn], then the server's own words below it."
            findings.append(Finding("wrong-type", "native holds one table for each server", fix, where, Exit.PROFILE))
            continue
        for key, value in entries.items():
            name = f"{NATIVE}.{server}.{key}"
            values[name] = Raw(value, Origin(layer, file.name, file.line(*section, server, key), name))


def _unknown_key(key: str, value: object, where: Origin) -> Finding:
    if isinstance(value, dict):
        tables = [*(name for name, option in OPTIONS.items() if isinstance(option.kind, Table)), NATIVE]
        fix = did_you_mean(key, tables)
        fix = fix or f"{hint_at(key, tables)} Words of one server go under [native.{key}]."
        return Finding("unknown-section", f"unknown section '{key}'", fix, where, Exit.PROFILE)
    dashed = key.replace("-", "_")
    fix = f"Write {dashed}." if dashed in OPTIONS else did_you_mean(key, OPTIONS)
    fix = fix or "`serve servers --options` lists the options; a server's own go under [native.SERVER]."
    return Finding("unknown-key", f"unknown key '{key}'", fix, where, Exit.PROFILE)


def from_environ(environ: Mapping[str, str], cwd: str) -> tuple[RawValues, list[Finding]]:
    """Read `SERVE_*`. An empty variable counts as unset; an unknown one is refused."""
    known = {option.variable: name for name, option in OPTIONS.items() if option.variable}
    values: dict[str, Raw] = {}
    findings: list[Finding] = []
    for variable in sorted(environ):
        if not variable.startswith("SERVE_") or not environ[variable]:
            continue
        where = Origin(Layer.ENVIRONMENT, variable, key=variable)
        if variable in known:
            values[known[variable]] = Raw(environ[variable], where, text=True, base=cwd)
        else:
            fix = did_you_mean(variable, known) if variable != "SERVE_ENV" else "Set the variables themselves."
            fix = fix or "Unset it: variables that begin with SERVE_ set options."
            findings.append(Finding("unknown-variable", "is no option of serve", fix, where, Exit.USAGE))
    return values, findings


def from_aliases(environ: Mapping[str, str], binds: Sequence[Address]) -> tuple[RawValues, list[Finding]]:
    """Read the well-known `PORT` and `WEB_CONCURRENCY`.

    `PORT` says the port only: the interface stays the one that lower layers chose, so that a stray `PORT`
    does not open a server to the world.
    """
    values: dict[str, Raw] = {}
    findings: list[Finding] = []
    workers, port = environ.get("WEB_CONCURRENCY", ""), environ.get("PORT", "")
    if workers:
        where = Origin(Layer.ENVIRONMENT, "WEB_CONCURRENCY", key="WEB_CONCURRENCY")
        values["workers"] = Raw(workers, where, text=True)
    if port:
        where = Origin(Layer.ENVIRONMENT, "PORT", key="PORT")
        hosts = [address for address in binds if address.kind == "tcp"]
        if binds and not hosts:
            message = f"PORT={port} is not used, since bind names no TCP address"
            findings.append(Finding("unused-variable", message, "", severity="note"))
        elif not (port.isascii() and port.isdigit()) or int(port) > 65535:
            findings.append(
                Finding(
                    "bad-value",
                    f"{port!r} is no port number",
                    "Unset it, or give a number.",
                    where,
                    Exit.USAGE,
                )
            )
        else:
            first = hosts[0] if hosts else Address("tcp", "127.0.0.1")
            values["bind"] = Raw(str(first._replace(port=int(port))), where, text=True)
    return values, findings


def from_flags(said: Mapping[str, tuple[str, ...]], cwd: str) -> tuple[RawValues, list[Finding]]:
    """Read what the command line said."""
    values: dict[str, Raw] = {}
    findings: list[Finding] = []
    for name, texts in said.items():
        option = OPTIONS[name]
        where = Origin(Layer.COMMAND_LINE, option.flag, key=option.flag)
        if isinstance(option.kind, Table):
            for text in texts:
                key = text.partition("=")[0]
                values[f"{name}.{key}"] = Raw(text, where, text=True, base=cwd)
        elif option.kind.many:
            values[name] = Raw(",".join(texts), where, text=True, base=cwd)
        elif len(texts) > 1:
            findings.append(Finding("repeated-flag", "is given more than once", "Give it once.", where, Exit.USAGE))
        else:
            values[name] = Raw(texts[0], where, text=True, base=cwd)
    return values, findings


def merge(layers: Iterable[RawValues]) -> Merged:
    """Lay layers, lowest first, over the declared defaults. Every value is read, also those that lose."""
    findings: list[Finding] = []
    settings: dict[str, Setting[Any]] = {**DEFAULTS}
    native: dict[str, dict[str, Setting[Any]]] = {}
    for values in layers:
        for name, raw in values.items():
            first, dot, rest = name.partition(".")
            if first == NATIVE:
                server, _, key = rest.partition(".")
                below = native.setdefault(server, {})
                below[key] = over(below.get(key), Setting(raw.value, raw.origin))
                continue
            try:
                value = read_value(OPTIONS[first], raw, entry=rest if dot else None)
            except BadValue as error:
                findings.append(_bad_value(name, raw, error))
                continue
            settings[name] = over(settings.get(name), Setting(value, raw.origin))
    for name, option in OPTIONS.items():
        if isinstance(option.kind, Table):
            settings[name] = _gather(name, settings)
    return Merged(settings, native, tuple(findings))


def over(below: Setting[Any] | None, above: Setting[Any]) -> Setting[Any]:
    """Return a setting that beats another, and what that one beat."""
    if below is None:
        return above
    return above._replace(shadowed=(*above.shadowed, Setting(below.value, below.origin), *below.shadowed))


def _gather(name: str, settings: Mapping[str, Setting[Any]]) -> Setting[Any]:
    """Return the table whose entries were set one by one; its origin is the last layer that spoke."""
    parts = dict(entries(settings, name))
    if not parts:
        return settings[name]
    return Setting({key: part.value for key, part in parts.items()}, list(parts.values())[-1].origin)


def read_value(option: Option[Any], raw: Raw, entry: str | None = None) -> Any:
    """Turn a raw value, of an entry where the option is a table, into a typed one. Raises BadValue."""
    kind = option.kind
    if isinstance(kind, Table) and entry is not None:
        return kind.from_text(str(raw.value)).get(entry) if raw.text else kind.entry(raw.value)
    if raw.value == "none" and option.default is None:
        return None
    value = kind.from_text(str(raw.value)) if raw.text else kind.from_toml(raw.value)
    if isinstance(kind, Path):
        return _absolute(value, raw.base, kind.words)
    if isinstance(kind, ListOf) and isinstance(kind.item, Path):
        return tuple(_absolute(item, raw.base, kind.item.words) for item in value)
    if isinstance(kind, ListOf) and isinstance(kind.item, AddressKind):
        return tuple(_absolute_socket(address, raw.base) for address in value)
    if isinstance(kind, ListOf) and isinstance(kind.item, MiddlewareKind) and raw.lines:
        return tuple(entry._replace(line=line) for entry, line in zip(value, raw.lines, strict=True))
    return value


def _absolute(path: str, base: str, words: Sequence[str]) -> str:
    return path if path in words else os.path.normpath(os.path.join(base, os.path.expanduser(path)))


def _absolute_socket(address: Address, base: str) -> Address:
    if address.kind != "unix" or address.abstract:
        return address
    return address._replace(path=_absolute(address.path, base, ()))


def _bad_value(name: str, raw: Raw, error: BadValue) -> Finding:
    layer = raw.origin.layer
    status = Exit.USAGE if layer in (Layer.COMMAND_LINE, Layer.ENVIRONMENT) else Exit.PROFILE
    culprit, where = raw.value, raw.origin
    if error.item is not None and isinstance(culprit, list):
        culprit, where = culprit[error.item], where._replace(line=raw.lines[error.item] if raw.lines else where.line)
    shown = repr(culprit) if isinstance(culprit, str) else str(culprit)
    if isinstance(culprit, bool):
        shown = str(culprit).lower()
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    named = "" if raw.text and not raw.origin.line else f"{name} = "
    fix = "Unset it, or give another value." if layer == Layer.ENVIRONMENT else ""
    return Finding("bad-value", f"{named}{shown} {error}", fix, where, status)


def entries(settings: Mapping[str, Setting[Any]], table: str) -> Iterator[tuple[str, Setting[Any]]]:
    """Yield the entries of a table option, each with its own origin."""
    for name, setting in settings.items():
        first, dot, rest = name.partition(".")
        if dot and first == table:
            yield rest, setting
