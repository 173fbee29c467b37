"""What was said: the only place that holds argv, environment and working directory."""

from __future__ import annotations

from .lean import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Mapping


class Request(Record):
    """One call of `serve`. Everything after it is a function of this, the files and the host."""

    said: Mapping[str, tuple[str, ...]]
    """Option name -> the texts given to its flag, in order."""
    environ: Mapping[str, str]
    cwd: str
