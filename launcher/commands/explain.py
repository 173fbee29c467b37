"""`serve explain`: every value, where it came from, what it became."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..document import plain, plan_document, secrets_of
from ..errors import Exit, Finding, LaunchError, hint_at
from ..native import shell_line
from ..options import OPTIONS
from ..origin import Layer, Origin
from ..plan import LaunchPlan


def explain(plan: LaunchPlan, form: str, only: Sequence[str] = ()) -> str:
    """Return the plan as text, JSON or TOML, or all there is to know about some options and entries of tables."""
    document = plain(plan_document(plan))
    found = {name: part for word in only for name, part in _named(plan, document, word).items()}
    if form == "json":
        return json.dumps(found if only else document, indent=2, ensure_ascii=False)
    if form == "toml":
        return _toml(plan, document, found if only else None)
    if not only:
        return _text(plan, document)
    texts = [_one(plan, document, name) if name in OPTIONS else _entry(name, part) for name, part in found.items()]
    return "\n".join(texts)


def is_entry(word: str) -> bool:
    """Return whether a word names an entry of a table, though it looks like an application: `env.NAME`."""
    return word.partition(".")[0] in ("env", "native")


def _named(plan: LaunchPlan, document: Mapping[str, Any], word: str) -> Mapping[str, Any]:
    """Return what a word names, by name: an option, or entries of env or native. Raises LaunchError."""
    table, _, rest = word.partition(".")
    if table == "native":
        known = {f"native.{plan.backend.name}.{key}": entry for key, entry in document["native"].items()}
        found = {name: entry for name, entry in known.items() if f"{name}.".startswith(f"{word}.")}
        hint = f"These are of {plan.backend.name}: {', '.join(known) or 'none'}."
    elif table == "env" and rest:
        known = {f"env.{name}": entry for name, entry in document["variables"].items()}
        found = {word: known[word]} if word in known else {}
        hint = hint_at(word, known) or "`serve explain env` lists them."
    else:
        word = word.removeprefix("--").replace("-", "_").lower().removeprefix("serve_")
        found = {word: document["options"][word]} if word in OPTIONS else {}
        hint = hint_at(word, OPTIONS) or "`serve explain` lists them."
    if not found:
        message = f"nothing is set by {word}" if table in ("env", "native") else f"there is no option '{word}'"
        raise LaunchError(Finding("unknown-option", message, hint, status=Exit.USAGE))
    return found


def command_line(plan: LaunchPlan) -> str:
    """Return the native command for a shell."""
    return shell_line(plan.command, secrets_of(plan))


def _text(plan: LaunchPlan, document: Mapping[str, Any]) -> str:
    settings = plan.settings["settings"]
    files = " over ".join(reversed(document["profile_files"]))
    head = [
        ("profile", plan.profile, files),
        ("server", f"{plan.backend.name} {plan.version}".rstrip(), str(plan.settings["server"].origin)),
        ("settings", settings.value or "none", _with_key(settings.origin)),
        ("application", plan.target.spec, str(plan.target.origin)),
    ]
    lines = _columns(head)
    rows: list[Sequence[str]] = [("option", "value", "from", "becomes")]
    quiet: list[str] = []
    for name, option in document["options"].items():
        if name in ("profile", "server", "settings", "app"):
            continue
        entries = {f"env.{key}": each for key, each in document["variables"].items()} if name == "env" else {}
        if option["origin"]["layer"] == Layer.DEFAULT and not entries:
            quiet.append(name)
            continue
        becomes = _becomes(option)
        for label, entry in (entries or {name: option}).items():
            rows.append((label, toml_value(entry["value"]), _origin_text(entry["origin"]), becomes))
    for key, entry in document["native"].items():
        label = f"native.{plan.backend.name}.{key}"
        rows.append((label, toml_value(entry["value"]), _origin_text(entry["origin"]), " ".join(entry["words"])))
    if plan.reckoned is not None:
        rows.append(("", "", "", f"(workers = auto: {plan.reckoned.words})"))
    lines += ["", *_columns(rows)]
    lines += ["", "left as declared, mostly for the server to decide:", *_wrap(quiet)]
    lines += ["", "command (`serve` passes sockets it has opened itself instead of the addresses):"]
    lines += ["  " + command_line(plan)]
    if plan.notes:
        lines += ["", "notes", *(f"  {note}" for note in plan.notes)]
    return "\n".join(lines)


def _with_key(origin: Origin) -> str:
    return f"{origin} ({origin.key})" if " " in origin.key else str(origin)


def _becomes(option: Mapping[str, Any]) -> str:
    return " ".join(option["words"]) or f"({option['wordless']})"


def _entry(name: str, entry: Mapping[str, Any]) -> str:
    becomes = [f"  becomes   {' '.join(entry['words'])}"] if "words" in entry else []
    return "\n".join([f"{name} = {toml_value(entry['value'])}", *_sources(entry), *becomes])


def _sources(entry: Mapping[str, Any]) -> list[str]:
    origin = entry["origin"]
    layer = f" ({origin['layer']})" if origin["source"] else ""
    below = [
        f"  beats     {toml_value(each['value'])} from {_origin_text(each['origin'])}" for each in entry["shadowed"]
    ]
    return [f"  from      {_origin_text(origin)}{layer}", *below]


def _one(plan: LaunchPlan, document: Mapping[str, Any], name: str) -> str:
    option = document["options"][name]
    rule = plan.backend.rule(name)
    declared = OPTIONS[name]
    lines = [f"{name} = {toml_value(option['value'])}", f"  {declared.help}"]
    if name == "env":
        for key, entry in document["variables"].items():
            lines += [f"  {line}" for line in _entry(f"env.{key}", entry).splitlines()]
    else:
        lines += _sources(option)
    becomes = _becomes(option)
    lines.append(f"  becomes   {becomes}")
    how = "cannot honour this value" if name in plan.left_out and rule.how != "impossible" else rule.shown
    note = f": {rule.note}" if rule.note and becomes != f"({rule.note})" else ""
    lines.append(f"  {plan.backend.name:9s} {how}{note}")
    if name == "workers" and plan.reckoned is not None:
        lines.append(f"  auto      {plan.reckoned.words}")
    ways = [f"{name} in a profile" if declared.anywhere else f"{name} in [tool.serve]", declared.flag]
    ways += [declared.variable] if declared.variable else []
    lines.append(f"  set it    {', '.join(ways)}")
    return "\n".join(lines)


def _toml(plan: LaunchPlan, document: Mapping[str, Any], only: Mapping[str, Any] | None) -> str:
    """Return a profile that gives the same plan, each line with its origin."""
    lines = [f"# {document['server']}, profile {document['profile']}"]
    tables: list[str] = []
    for name, option in document["options"].items():
        if name == "profile" or (only is not None and name not in only and name != "env"):
            continue
        if "entries" in option:
            tables += _table(name, option["entries"], only)
        elif option["value"] is None:
            lines.append(f"# {name} is left to the server")
        elif name in plan.left_out:
            lines.append(f"# {name} = {toml_value(option['value'])} is left out: {plan.backend.rule(name).note}")
        elif plan.options.production and OPTIONS[name].group == "development":
            continue  # a profile for production may not ask for it
        elif option["value"] not in ({}, []):
            lines.append(f"{name} = {toml_value(option['value'])}  # {_origin_text(option['origin'])}")
    tables += _table(f"native.{document['server']}", document["native"], only)
    return "\n".join([*lines, *tables])


def _table(name: str, entries: Mapping[str, Any], only: Mapping[str, Any] | None) -> list[str]:
    """Return a table, or of it what `only` names."""
    lines = [
        f"{toml_key(key)} = {toml_value(entry['value'])}  # {_origin_text(entry['origin'])}"
        for key, entry in entries.items()
        if only is None or name in only or f"{name}.{key}" in only
    ]
    return ["", f"[{name}]", *lines] if lines else []


def toml_key(key: str) -> str:
    bare = key.replace("-", "_").replace("_", "a")
    return key if bare.isascii() and bare.isalnum() else toml_value(key)


def toml_value(value: Any) -> str:
    """Return a value as TOML spells it; None, which TOML lacks, as the word our options take for it."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_key(str(key))} = {toml_value(item)}" for key, item in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL and what lies beyond the basic plane.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def _origin_text(origin: Mapping[str, Any]) -> str:
    return str(Origin(**origin))


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [min(48, max(len(row[column]) for row in rows)) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def _wrap(words: Sequence[str]) -> list[str]:
    lines = [" "]
    for word in words:
        if len(lines[-1]) + len(word) > 96:
            lines.append(" ")
        lines[-1] += f" {word}"
    return lines
