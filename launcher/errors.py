"""What can go wrong, told in one shape: what, where, what to do now."""

from __future__ import annotations

import os

from .lean import TYPE_CHECKING, Record
from .origin import Layer, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Exit:
    """Exit statuses, one per cause: plain numbers, since `enum` costs a start 3 ms."""

    FINE = 0
    FINDINGS = 1
    USAGE = 2
    PROFILE = 3
    TARGET = 4
    SERVER = 5
    NOT_READY = 6
    ADDRESS = 7


class Finding(Record):
    """One thing a check or the compiler has to say."""

    code: str
    """Stable, kebab-case: what a program may match on."""
    message: str
    """One sentence without its final stop."""
    fix: str = ""
    """What to do now: sentences with their stops."""
    origin: Origin | None = None
    status: int = Exit.FINDINGS
    severity: str = "error"
    """`error`; `warning`, which every start tells; `note`, which it tells on a terminal."""

    def __str__(self) -> str:
        where, message = "", self.message
        if self.origin and self.origin.source:
            where = f"{self.origin}: "
            for joint in (" = ", ": ", " "):  # a flag is not to say its name twice
                message = message.removeprefix(f"{self.origin.option}{joint}")
        head = f"{where}{message}"
        head += "" if head.endswith(("?", "!", ".")) else "."
        if not self.fix:
            return head
        # A short remedy stays on the line, as in: unknown key 'workerz'. Did you mean 'workers'?
        joint = " " if len(head) + len(self.fix) < 100 and "\n" not in self.fix else "\n  "
        return head + joint + self.fix.replace("\n", "\n  ")


class LaunchError(Exception):
    """Something a person can mend. Carries every finding there was, not the first only."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__(*findings)
        self.findings: tuple[Finding, ...] = findings

    def __str__(self) -> str:
        return "\n".join(str(finding) for finding in self.findings)

    @property
    def status(self) -> int:
        """The exit status of the first error."""
        errors = [finding for finding in self.findings if finding.severity == "error"]
        return (errors or list(self.findings))[0].status


def unreadable(shown: str, error: OSError, layer: str = Layer.PROJECT) -> Finding:
    """Return what to say of a file or directory that the system does not let us read."""
    fix = "Give this user the right to read it, and to search each directory above it; or start serve as another."
    fix = fix if isinstance(error, PermissionError) else ""
    return Finding("unreadable-file", f"cannot be read: {error.strerror}", fix, Origin(layer, shown), Exit.PROFILE)


def closed(directories: Iterable[str], shown: Callable[[str], str]) -> str:
    """Return what to say of those in which this user cannot look for modules; nothing where there are none."""
    found = [each for each in directories if os.path.isdir(each) and not os.access(each, os.R_OK | os.X_OK)]
    if not found:
        return ""
    return f"This user cannot read {', '.join(map(shown, found))}: it takes the rights to list it and to search it."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `Did you mean 'x'?`; nothing where none of what is known is near."""
    import difflib  # only on the way to an error message

    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else ""


def hint_at(word: str, known: Iterable[str]) -> str:
    """Return what may have been meant, or else what is known; nothing where that would be a flood."""
    names = sorted(known)
    if (guess := did_you_mean(word, names)) or len(names) > 15:
        return guess
    return f"There are: {', '.join(names)}." if names else "There are none."
