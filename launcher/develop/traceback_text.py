"""The frames of a printed traceback, the project's own told from the others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..installed import OURS, PACKAGES
from ..user_code import is_own, short

if TYPE_CHECKING:
    from collections.abc import Iterator

# Source: traceback.StackSummary.format and, before a SyntaxError, format_exception_only (CPython 3.11 to 3.14).
FRAME = re.compile(r'(?P<indent>[ |]*)File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<name>.+))?')
AROUND = 3


class Part(NamedTuple):
    """A frame with its source lines, or a line between frames."""

    lines: tuple[str, ...]
    file: str = ""
    """Empty between frames."""
    number: int = 0

    @property
    def own(self) -> bool:
        return bool(self.file) and is_own(self.file)


def parts(trace: str) -> list[Part]:
    """Take a traceback apart; all lines together are as they were, but for the paths, which are short."""
    found: list[Part] = []
    inside = ""
    """How far the source lines of the frame are indented at least."""
    for line in trace.rstrip().splitlines():
        if frame := FRAME.fullmatch(line):
            inside = f"{frame['indent']}  "
            text = line.replace(frame["file"], short(frame["file"]), 1)
            found.append(Part((text,), frame["file"], int(frame["line"])))
        elif inside and line.startswith(inside) and line.strip():
            found[-1] = found[-1]._replace(lines=(*found[-1].lines, line))
        else:
            inside = ""
            found.append(Part((line,)))
    return found


def innermost(trace: list[Part]) -> Part | None:
    """Return the project's frame that is nearest to the error."""
    return next((part for part in reversed(trace) if part.own), None)


def package(file: str) -> str:
    """Return whose file it is that is not the project's."""
    if file.startswith(OURS):
        return "serve"
    for directory in PACKAGES:
        if directory in file:
            top: str = file.rpartition(directory)[2].partition("/")[0]
            return top.removesuffix(".py")
    return "Python"


def excerpt(part: Part) -> Iterator[tuple[int, str]]:
    """Yield the numbered source lines around a frame's, as the file has them now; none where it cannot be read."""
    try:
        with open(part.file, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if number > part.number + AROUND:
                    return
                if number >= part.number - AROUND:
                    yield number, line.rstrip()
    except OSError:
        return
