"""`serve export KIND`: a plan written down for another program, printed, written or compared with what is installed."""

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence

from ..errors import Exit, Finding, LaunchError, hint_at
from ..exporter import Exporter, words_of
from ..plan import LaunchPlan
from ..registry import EXPORTERS, Registry

Files = Mapping[str, str]
LONGEST = 200
"""Characters of a stranger's line that are shown."""


def exporter(registry: Registry, kind: str) -> Exporter:
    """Return the exporter of a kind. Raises LaunchError."""
    if kind not in registry.names(EXPORTERS):
        fix = hint_at(kind, registry.names(EXPORTERS))
        raise LaunchError(Finding("unknown-exporter", f"there is no exporter '{kind}'", fix, status=Exit.USAGE))
    found: Exporter = registry.load(EXPORTERS, kind)
    return found


def render(chosen: Exporter, plan: LaunchPlan, name: str, words: Sequence[str]) -> Files:
    """Return the files of one plan; `words` are NAME=VALUE for the exporter. Raises LaunchError."""
    takes = words_of(chosen)
    told = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in takes:
            message = f"--with {word}: the exporter takes no '{key}'" if equals else f"--with {word} is not NAME=VALUE"
            raise LaunchError(Finding("unknown-word", message, hint_at(key, takes), status=Exit.USAGE))
        told[key] = value
    return chosen.render(plan, name or site_name(plan), **told)


def site_name(plan: LaunchPlan) -> str:
    """Return a name for the site: that of the project's directory, as far as anything takes it for a name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", os.path.basename(plan.project.root)).strip("-.") or "site"


def text(files: Files, directory: str) -> str:
    """Return a file as it is, and several each below its path, as `systemctl cat` shows them."""
    if len(files) == 1:
        return "".join(files.values())
    return "\n".join(f"# {os.path.join(directory, name)}\n{content}" for name, content in files.items())


def write(files: Files, directory: str) -> list[str]:
    """Write the files and return their paths: all, or none where one would replace what is not its own.

    Its own is what begins with the same line, which says for what it was written. Raises LaunchError.
    """
    paths = {os.path.join(directory, name): content for name, content in files.items()}
    strangers = [found for path, content in paths.items() if (found := _stranger(path, content))]
    if strangers:
        raise LaunchError(*strangers)
    for path, content in paths.items():
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(content)
        except OSError as error:
            message = f"cannot write {path}: {error.strerror}"
            raise LaunchError(Finding("not-written", message, status=Exit.FINDINGS)) from error
    return list(paths)


def _stranger(path: str, content: str) -> Finding | None:
    installed = _installed(path)
    if installed is None:
        return None
    first, own = (text.partition("\n")[0] for text in (installed, content))
    if first == own:
        return None
    message = f"{path} is something else: it begins with {first[:LONGEST]!r}, and not with {own!r}"
    return Finding("not-written", message, "Give another --name, or remove the file.", status=Exit.FINDINGS)


def _installed(path: str) -> str | None:
    """Return what a file holds, or None where there is none. Raises LaunchError."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise LaunchError(Finding("not-read", message, status=Exit.FINDINGS)) from error


def compare(files: Files, directory: str) -> dict[str, str]:
    """Return a unified diff, from what is installed to what is exported, for every file that differs."""
    found = {}
    for name, content in files.items():
        path = os.path.join(directory, name)
        installed = _installed(path) or ""
        before, after = (part.splitlines(keepends=True) for part in (installed, content))
        diff = "".join(difflib.unified_diff(before, after, path, f"{name} (exported)"))
        if diff:
            found[name] = diff
    return found


def json_text(files: Files, directory: str, differences: Mapping[str, str] | None = None) -> str:
    """Return what a program reads; `differs` holds diffs, and is null where nothing was compared."""
    document = {"directory": directory, "files": dict(files), "differs": differences}
    return json.dumps(document, indent=2, ensure_ascii=False)
