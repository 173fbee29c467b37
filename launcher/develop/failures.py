"""Failures that no worker has told, in a worker's words: see `FAILURE` in launcher.develop.channel."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from ..errors import Exit, Finding
from .traceback_text import Part, excerpt, parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..errors import LaunchError


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


def refused(what: str, error: OSError, environ: Mapping[str, str]) -> Finding:
    """Return what to say where the system refuses to do something, as to start a process with this environment."""
    reason = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    if error.errno == errno.E2BIG and environ:
        longest = max(environ, key=lambda name: len(environ[name]))
        reason += f" (the longest variable is {longest}, with {len(environ[longest])} characters)"
    return Finding("refused", f"cannot {what}: {reason}", status=Exit.SERVER)
