"""Failures that no worker has told, in a worker's words: see `FAILURE` in launcher.develop.channel."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .traceback_text import Part, excerpt, parts

if TYPE_CHECKING:
    from ..errors import Finding, LaunchError


def failure(message: str, trace: str = "") -> dict[str, Any]:
    """Return what is told of one."""
    return {"message": message, "trace": trace, "files": [part.file for part in parts(trace) if part.file]}


def unplanned(error: LaunchError, cwd: str) -> dict[str, Any]:
    """Return what is told where a plan has no target: its findings name files as they are seen from `cwd`."""
    first = error.findings[0]
    if first.code == "broken-settings" and first.fix:  # the traceback of their import
        return failure(str(first._replace(fix="")), first.fix)
    return failure(str(error), _place(first, cwd))


def _place(finding: Finding, cwd: str) -> str:
    """Return the line of a file that a finding is about, as a traceback has it."""
    if finding.origin is None or finding.origin.line is None:
        return ""
    file, number = os.path.normpath(os.path.join(cwd, finding.origin.source)), finding.origin.line
    line = dict(excerpt(Part((), file, number))).get(number, "")
    return f'  File "{file}", line {number}\n    {line.strip()}\n'
