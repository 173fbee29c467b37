"""What was said: the only place that holds argv, environment and working directory."""

from collections.abc import Mapping
from typing import NamedTuple


class Request(NamedTuple):
    """One call of `serve`. Everything after it is a function of this, the files and the host."""

    said: Mapping[str, tuple[str, ...]]
    """Option name -> the texts given to its flag, in order."""
    environ: Mapping[str, str]
    cwd: str
