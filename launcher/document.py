"""The stable form of a plan: what `explain --format json`, the golden corpus and bug reports hold.

Fields are only ever added. `msgspec.json.schema(PlanDocument)` is its JSON schema (docs/reference/plan.schema.json).
"""

import json
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType, field, to_builtins

from .environment import APPLICATION_VARIABLE
from .errors import Finding
from .layers import entries
from .option import Option
from .options import OPTIONS, PARENT
from .origin import Origin, Setting
from .plan import LaunchPlan

HIDDEN = "***"
SECRET_WORDS = ("SECRET", "PASSWORD", "PASSWD", "TOKEN", "KEY", "CREDENTIAL", "DSN", "PRIVATE", "AUTH")


class OriginDocument(Struct, frozen=True):
    """Who set a value."""

    layer: str
    source: str
    line: int | None
    key: str


class ValueDocument(Struct, frozen=True):
    """A value as TOML would hold it; null means that the server decides."""

    value: Any
    origin: OriginDocument


class EntryDocument(ValueDocument, frozen=True):
    """One entry of a table, such as `env.DEBUG`."""

    shadowed: list[ValueDocument]


class OptionDocument(EntryDocument, frozen=True):
    """One option: its value, the values it beat (nearest first), and what it became."""

    how: str
    """`exact`, `approximate`, `supplied` or `impossible` on the chosen server."""
    words: list[str]
    """Of the server."""
    wordless: str = ""
    """Where there are no words, what does it without, or why nothing has to."""
    entries: dict[str, EntryDocument] | UnsetType = UNSET


class TargetDocument(Struct, frozen=True):
    app: str
    origin: OriginDocument


class CommandDocument(Struct, frozen=True):
    """The native command. Secrets in `env_set` are `***`."""

    argv: list[str]
    env_set: dict[str, str]
    env_drop: list[str]
    cwd: str


class FindingDocument(Struct, frozen=True):
    code: str
    severity: str
    message: str
    fix: str
    origin: OriginDocument | None


class PlanDocument(Struct, frozen=True):
    """The whole plan."""

    server: str
    server_version: str | None
    profile: str
    profile_files: list[str]
    settings_module: str | None
    target: TargetDocument
    options: dict[str, OptionDocument]
    command: CommandDocument
    notes: list[FindingDocument]
    native: dict[str, OptionDocument] = field(default_factory=dict)
    variables: dict[str, EntryDocument] = field(default_factory=dict)
    """What `env_file` and `env` put into the environment of the server. Secrets are `***`."""


def plan_document(plan: LaunchPlan) -> PlanDocument:
    """Return the plan in its stable form."""
    return PlanDocument(
        server=plan.backend.name,
        server_version=plan.version or None,
        profile=plan.profile,
        profile_files=[profile.file.name for profile in plan.profiles],
        settings_module=plan.settings_module,
        target=TargetDocument(plan.target.spec, _origin(plan.target.origin)),
        options={name: _option(plan, option) for name, option in OPTIONS.items()},
        native={
            key: OptionDocument(*_values(None, setting), "exact", _words(plan, f"native.{plan.backend.name}.{key}"))
            for key, setting in plan.native.items()
        },
        variables={name: _entry(name, setting) for name, setting in plan.variables.items()},
        command=CommandDocument(
            list(plan.command.argv), shown_environment(plan), list(plan.command.env_drop), plan.command.cwd
        ),
        notes=list(map(finding_document, plan.notes)),
    )


def plain(document: Struct | list[Any]) -> Any:
    """Return a document as dicts and lists."""
    return to_builtins(document)


def finding_document(finding: Finding) -> FindingDocument:
    origin = _origin(finding.origin) if finding.origin else None
    return FindingDocument(finding.code, finding.severity, finding.message, finding.fix, origin)


def _origin(origin: Origin) -> OriginDocument:
    return OriginDocument(origin.layer, origin.source, origin.line, origin.key)


def _option(plan: LaunchPlan, option: Option[Any]) -> OptionDocument:
    value, origin, shadowed = _values(option, plan.settings[option.name])
    how = plan.backend.rule(option.name).how
    words = _words(plan, option.name)
    wordless = "" if words else _wordless(plan, option)
    parts = {key: _entry(key, entry) for key, entry in entries(plan.settings, option.name)}
    if not parts:
        return OptionDocument(value, origin, shadowed, how, words, wordless)
    values = {key: part.value for key, part in parts.items()}
    return OptionDocument(values, origin, shadowed, how, words, wordless, parts)


def _wordless(plan: LaunchPlan, option: Option[Any]) -> str:
    value, rule = plan.options.value(option.name), plan.backend.rule(option.name)
    told = option.name in plan.application
    if option.name in plan.left_out:
        return "nothing: it is left out"
    if value is None and not option.supplied and not told:
        return "nothing: the server decides"
    if rule.how != "supplied":
        return rule.wordless
    asked = value not in (None, False, "off", (), {}) or rule.hook or told
    loose = option.supplied == PARENT and not plan.options.reload
    return rule.note if asked and not loose else "nothing"


def _entry(name: str, setting: Setting[Any]) -> EntryDocument:
    shadowed = [ValueDocument(hide(name, below.value), _origin(below.origin)) for below in setting.shadowed]
    return EntryDocument(hide(name, setting.value), _origin(setting.origin), shadowed)


def _words(plan: LaunchPlan, name: str) -> list[str]:
    return list(plan.command.trace.get(name, ()))


def _values(option: Option[Any] | None, setting: Setting[Any]) -> tuple[Any, OriginDocument, list[ValueDocument]]:
    def show(value: Any) -> Any:
        return value if option is None else _hidden(option.show(value))

    shadowed = [ValueDocument(show(below.value), _origin(below.origin)) for below in setting.shadowed]
    return show(setting.value), _origin(setting.origin), shadowed


def is_secret(name: str, value: str) -> bool:
    """Return whether a variable looks like a secret: by its name, or as a URL that holds a password."""
    if any(word in name.upper() for word in SECRET_WORDS):
        return True
    _, scheme, rest = value.partition("://")
    return bool(scheme) and ":" in rest.partition("@")[0] and "@" in rest


def hide(name: str, value: str) -> str:
    return HIDDEN if is_secret(name, value) else value


def shown_environment(plan: LaunchPlan) -> dict[str, str]:
    """Return the variables that the command sets, fit to be printed."""
    shown = {name: hide(name, value) for name, value in plan.command.env_set.items()}
    shown[APPLICATION_VARIABLE] = json.dumps(_hidden(plan.application), separators=(",", ":"), ensure_ascii=False)
    return shown


def secrets_of(plan: LaunchPlan) -> dict[str, str]:
    """Return the variables of the command that hold a secret, each with what a shell is to say in its absence."""
    told = {}
    for name, value in plan.command.env_set.items():
        if value and is_secret(name, value):
            origin = f" ({plan.variables[name].origin})" if name in plan.variables else ""
            told[name] = f"it is secret, and so not written here: export it{origin}"
    if _hidden(plan.application) != plan.application:
        said = plan.settings["middleware"].origin
        told[APPLICATION_VARIABLE] = f"it holds a secret, and so is not written here: start with serve ({said})"
    return told


def _hidden(value: Any, name: str = "") -> Any:
    """Return a value with whatever a secret-looking key holds replaced."""
    if isinstance(value, Mapping):
        return {key: _hidden(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, name) for item in value]
    return hide(name, value) if isinstance(value, str) and name not in ("target", "use") else value
