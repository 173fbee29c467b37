"""What a server of ours tells its supervisor of the workers that it needs."""

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from ..lean import Generic, Record, TypeVar
from ..systemd import MANAGED_BY
from .notices import Post
from .terms import Terms

T = TypeVar("T")


def environ_of_workers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of workers: what is between us and the service manager is not theirs."""
    return {name: value for name, value in environ.items() if name not in MANAGED_BY}


class Orders(Record, Generic[T]):
    """How the workers of one generation are made."""

    options: T
    environ: Mapping[str, str]


class Trade(Record, Generic[T]):
    """What the workers are."""

    live: Callable[[Post, T], NoReturn]
    """Be a worker, to its end; called in a process of its own, with signals blocked."""
    load: Callable[[Post, T], Callable[[Post], NoReturn]]
    """Load the application in a process that workers are forked from; return what they are to do."""
    read: Callable[[Sequence[str]], T]
    """Read the flags of a native command."""
    terms: Callable[[T], Terms]
    adopt: Callable[[T], None]
    """Change the supervisor itself, once workers with these options have replaced the others."""
    shut: Callable[[], None]
    """Let nobody in any more at the sockets; workers, who are about to be told, still accept who is inside."""
    preload: bool
    signals: Mapping[str, int]
    """`retire`, `stop`, `quick`, `kill` -> the signal that says so."""
