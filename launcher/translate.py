"""Options into a server's own words, by its rules."""

from __future__ import annotations

from .backend import Backend
from .errors import Exit, Finding, hint_at
from .lean import TYPE_CHECKING, Record
from .native import NativeCommand, Refusal, Words
from .options import OPTIONS, Options
from .origin import Setting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Translated(Record):
    """What the rules made of the options."""

    parts: tuple[tuple[str, Words], ...]
    """(option, words), in order: our options, then native ones."""
    hooks: Mapping[str, Any]
    """Values that hooks of ours read inside the server."""
    left_out: tuple[str, ...]
    """Options of a shipped profile that the server cannot honour."""
    findings: tuple[Finding, ...]


def translate(
    backend: Backend,
    options: Options,
    settings: Mapping[str, Setting[Any]],
    native: Mapping[str, Mapping[str, Setting[Any]]],
) -> Translated:
    """Apply every rule. What a person asked for and the server cannot do is an error; else it is a note."""
    parts: list[tuple[str, Words]] = []
    hooks: dict[str, Any] = {}
    left_out: list[str] = []
    findings: list[Finding] = []
    for name, option in OPTIONS.items():
        value = options.value(name)
        if value is None:
            continue
        rule = backend.rule(name)
        setting = settings[name]
        try:
            words = rule.words(value, options)
        except Refusal as refusal:
            findings.append(_refused(backend, name, option.show(value), refusal, setting))
            left_out.append(name)
            continue
        if words:
            parts.append((name, words))
        if rule.hook:
            hooks[rule.hook] = value
    more, complaints = _native_parts(backend, native.get(backend.name, {}), options)
    return Translated((*parts, *more), hooks, tuple(left_out), (*findings, *complaints))


def _refused(backend: Backend, name: str, shown: Any, refusal: Refusal, setting: Setting[Any]) -> Finding:
    if not setting.origin.personal:
        message = f"{backend.name}: {name} = {shown} ({setting.origin}) is left out: {refusal.reason}"
        return Finding("unsupported-default", message, "", severity="note")
    message = f"{backend.name} cannot honour {name} = {shown}: {refusal.reason}"
    fix = refusal.fix or "Remove the key, or choose another server."
    return Finding("unsupported-option", message, fix, setting.origin, Exit.SERVER)


def _native_parts(
    backend: Backend, entries: Mapping[str, Setting[Any]], options: Options
) -> tuple[list[tuple[str, Words]], list[Finding]]:
    owners = {native: name for name, rule in backend.rules.items() for native in rule.natives}
    parts: list[tuple[str, Words]] = []
    findings: list[Finding] = []
    for key, setting in entries.items():
        name, bare = f"native.{backend.name}.{key}", key.replace("-", "_")
        if bare in owners or bare in OPTIONS:
            fix = f"Set {owners.get(bare, bare)} instead: it means the same on every server."
            findings.append(
                Finding("native-repeats-option", f"{name} repeats an option", fix, setting.origin, Exit.PROFILE)
            )
            continue
        try:
            if bare in backend.reserved:
                raise Refusal("it is not left to a profile", backend.reserved[bare])
            if bare in backend.unfit and (reason := backend.unfit[bare](options)):
                raise reason
            parts.append((name, backend.native(key, setting.value)))
        except Refusal as refusal:
            message = f"{name} cannot be passed on: {refusal.reason}"
            findings.append(Finding("native-value", message, refusal.fix, setting.origin, Exit.PROFILE))
    return parts, findings


def native_sections(native: Mapping[str, Mapping[str, Setting[Any]]], servers: tuple[str, ...]) -> tuple[Finding, ...]:
    """Refuse `[native.X]` for an X that is no server."""
    return tuple(
        Finding(
            "unknown-section",
            f"unknown section 'native.{server}'",
            hint_at(server, servers),
            next(iter(entries.values())).origin,
            Exit.PROFILE,
        )
        for server, entries in native.items()
        if server not in servers
    )


def command_of(
    backend: Backend,
    python: str,
    translated: Translated,
    options: Options,
    *,
    env_set: Mapping[str, str],
    env_drop: tuple[str, ...],
    cwd: str,
) -> NativeCommand:
    """Return the whole command: program, what no option owns, options, application."""
    # Children start with -P: a module called launcher in the project must not take the place of ours.
    program = (python, "-P", *backend.program)
    parts = (("", program), ("", backend.always(options)), *translated.parts, ("", backend.ending))
    return NativeCommand(parts, env_set, env_drop, cwd)
