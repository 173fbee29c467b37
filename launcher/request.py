"""What was said: the only place that holds argv, environment, working directory and sockets passed in."""

from __future__ import annotations

from .lean import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .activation import Passed


class Request(Record):
    """One call of `serve`. Everything after it is a function of this, the files and the host."""

    said: Mapping[str, tuple[str, ...]]
    """Option name -> the texts given to its flag, in order."""
    environ: Mapping[str, str]
    cwd: str
    passed: tuple[Passed, ...] = ()
    """Descriptors that were passed in with LISTEN_FDS."""
