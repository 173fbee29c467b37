"""What a crew asks to be done."""

from ..lean import Record


class Start(Record):
    """Make a worker."""

    worker: int
    generation: int


class End(Record):
    """Tell a worker to end: `retire` leaves to others what the kernel has accepted, `stop` answers that too.

    `quick` does not wait for long, `kill` not at all.
    """

    worker: int
    how: str


class Discard(Record):
    """End a worker that has yet to be ready, and wait until it has gone: it holds the listening sockets."""

    worker: int


class Tell(Record):
    """Tell the service manager."""

    lines: tuple[str, ...]


class Say(Record):
    """Write a line to the log."""

    level: str
    text: str


class GiveUp(Record):
    """Say that no worker could load the application, and how the last one ended: as a clause, and its status."""

    text: str
    status: int


class Prove(Record):
    """Begin a reload whose workers are to be of this generation."""

    generation: int


class Adopt(Record):
    """The proof was good: workers of this generation are made as it says."""

    generation: int


class EndReload(Record):
    """Say how the reload ended: well, or for a reason."""

    reason: str


class AbandonReload(Record):
    """The server stops in the midst of a reload."""


class Drain(Record):
    """Let balancers see that the server is to stop."""


class Close(Record):
    """Close the listening sockets: the workers have their own copies."""


class Leave(Record):
    """End the service with a status: there are no workers any more, or there is no time for them."""

    status: int


Action = Start | End | Discard | Tell | Say | GiveUp | Prove | Adopt | EndReload | AbandonReload | Drain | Close | Leave
