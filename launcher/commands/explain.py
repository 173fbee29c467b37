"""`serve explain`: every value, where it came from, what it became."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..document import plain, plan_document, shown_environment
from ..errors import Exit, Finding, LaunchError, did_you_mean
from ..native import shell_line
from ..options import OPTIONS
from ..origin import Layer
from ..plan import LaunchPlan


def explain(plan: LaunchPlan, form: str, only: str | None = None) -> str:
    """Return the plan as text, JSON or TOML, or all there is to know about one option."""
    document = plain(plan_document(plan))
    if only is not None:
        only = only.removeprefix("--").replace("-", "_").lower().removeprefix("serve_")
        if only not in OPTIONS:
            message = f"there is no option '{only}'"
            hint = did_you_mean(only, OPTIONS) or "`serve explain` lists them."
            raise LaunchError(Finding("unknown-option", message, hint, status=Exit.USAGE))
        if form == "json":
            return json.dumps({only: document["options"][only]}, indent=2, ensure_ascii=False)
        if form == "text":
            return _one(plan, document["options"][only], only)
    if form == "json":
        return json.dumps(document, indent=2, ensure_ascii=False)
    if form == "toml":
        return _toml(plan, document, only)
    return _text(plan, document)


def command_line(plan: LaunchPlan) -> str:
    """Return the native command for a shell."""
    return shell_line(plan.command, shown_environment(plan))


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
        if option["origin"]["layer"] == Layer.DEFAULT:
            quiet.append(name)
            continue
        becomes = " ".join(option["words"]) or _how(option, plan, name)
        for key, entry in option.get("entries", {name: option}).items():
            label = name if "entries" not in option else f"{name}.{key}"
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
    if document["notes"]:
        lines += ["", "notes"]
        lines += [f"  {note}" for note in plan.notes if note.severity != "quiet"]
    return "\n".join(lines)


def _with_key(origin: Any) -> str:
    return f"{origin} ({origin.key})" if " " in origin.key else str(origin)


def _how(option: Mapping[str, Any], plan: LaunchPlan, name: str) -> str:
    rule = plan.backend.rule(name)
    if option["value"] in (None, False, [], "off"):
        return ""
    if rule.how == "impossible":
        return f"({rule.note})"
    return f"({rule.note})" if rule.note and rule.how == "supplied" else ""


def _one(plan: LaunchPlan, option: Mapping[str, Any], name: str) -> str:
    rule = plan.backend.rule(name)
    declared = OPTIONS[name]
    lines = [
        f"{name} = {toml_value(option['value'])}",
        f"  {declared.help}",
        f"  from      {_origin_text(option['origin'])} ({option['origin']['layer']})",
    ]
    lines += [
        f"  beats     {toml_value(below['value'])} from {_origin_text(below['origin'])}" for below in option["shadowed"]
    ]
    lines += [
        f"  {key} = {toml_value(entry['value'])} from {_origin_text(entry['origin'])}"
        for key, entry in option.get("entries", {}).items()
    ]
    left_out = name in plan.left_out
    becomes = " ".join(option["words"]) or ("nothing: it is left out" if left_out else "no words of the server")
    lines.append(f"  becomes   {becomes}")
    how = "cannot honour this value" if left_out and rule.how != "impossible" else rule.how
    lines.append(f"  {plan.backend.name:9s} {how}{': ' + rule.note if rule.note else ''}")
    if name == "workers" and plan.reckoned is not None:
        lines.append(f"  auto      {plan.reckoned.words}")
    ways = [f"{name} in a profile" if declared.anywhere else f"{name} in [tool.serve]", declared.flag]
    ways += [declared.variable] if declared.variable else []
    lines.append(f"  set it    {', '.join(ways)}")
    return "\n".join(lines)


def _toml(plan: LaunchPlan, document: Mapping[str, Any], only: str | None) -> str:
    """Return a profile that gives the same plan, each line with its origin."""
    lines = [f"# {document['server']}, profile {document['profile']}"]
    tables: list[str] = []
    for name, option in document["options"].items():
        if (only and name != only) or name == "profile":
            continue
        if "entries" in option:
            tables += ["", f"[{name}]"]
            tables += [
                f"{toml_key(key)} = {toml_value(entry['value'])}  # {_origin_text(entry['origin'])}"
                for key, entry in option["entries"].items()
            ]
        elif option["value"] is None:
            lines.append(f"# {name} is left to the server")
        elif name in plan.left_out:
            lines.append(f"# {name} = {toml_value(option['value'])} is left out: {plan.backend.rule(name).note}")
        elif option["value"] not in ({}, []):
            lines.append(f"{name} = {toml_value(option['value'])}  # {_origin_text(option['origin'])}")
    if document["native"] and not only:
        tables += ["", f"[native.{document['server']}]"]
        tables += [
            f"{toml_key(key)} = {toml_value(entry['value'])}  # {_origin_text(entry['origin'])}"
            for key, entry in document["native"].items()
        ]
    return "\n".join([*lines, *tables])


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
    if not origin["source"]:
        return str(origin["layer"])
    return f"{origin['source']}:{origin['line']}" if origin["line"] else str(origin["source"])


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
