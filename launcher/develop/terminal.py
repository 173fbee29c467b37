"""What a failure looks like on a terminal."""

from __future__ import annotations

from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Any

from .traceback_text import innermost, package, parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .traceback_text import Part

RED, DIM, BOLD, PLAIN = "\x1b[1;31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


def failure_text(facts: Mapping[str, Any], *, colour: bool) -> str:
    """Return the message, and the traceback with what others did in one line each; the error itself is said once."""
    message, trace = str(facts.get("message", "")), parts(str(facts.get("trace", "")))
    lines = [(RED, line) for line in _opening(message, trace).splitlines()]
    if trace:
        lines += [("", ""), *_short(trace)]
    return "\n".join(f"{style}{line}{PLAIN}" if colour and style else line for style, line in lines)


def _opening(message: str, trace: list[Part]) -> str:
    """Return the message up to the error that the traceback ends with."""
    error = next(iter(_ending(trace)), None)
    kind, colon, reason = error.lines[0].partition(": ") if error else ("", "", "")
    before, found, _ = message.partition(f"{kind.rpartition('.')[2]}{colon}{reason.rstrip('.')}" or message)
    return before.rstrip() if before and found else message


def _ending(trace: list[Part]) -> list[Part]:
    """Return what follows the last frame."""
    return list(takewhile(lambda part: not part.file, reversed(trace)))[::-1]


def _short(trace: list[Part]) -> Iterator[tuple[str, str]]:
    """Yield lines, each with its style."""
    shortens = innermost(trace) is not None
    error = _ending(trace)
    for owner, group in groupby(trace, lambda part: "" if part.own or not part.file else package(part.file)):
        members = list(group)
        if owner and shortens:
            count = len(members)
            yield DIM, f"  ... {count} frame{'s' if count > 1 else ''} of {owner}"
            continue
        for part in members:
            style = (BOLD if part.own else DIM) if part.file else RED if part in error else ""
            yield from ((style, line) for line in part.lines)
