"""How many workers `auto` means on this machine."""

from __future__ import annotations

from .host import Host
from .lean import Record

WORKER_MEMORY = 128 * 2**20
"""What one worker of a Django project is reckoned to need, in bytes."""


class Reckoned(Record):
    """A number of workers, and how it was reached."""

    workers: int
    words: str


def reckon_workers(host: Host, *, single: bool) -> Reckoned:
    """Return the workers for a host: one for each CPU it may use, and no more than its memory holds."""
    if single:
        return Reckoned(1, "the server is one process")
    count, why = host.cpus, host.cpus_why
    if host.memory is not None:
        fitting = max(1, host.memory // WORKER_MEMORY)
        if fitting < count:
            return Reckoned(fitting, f"{host.memory_why}, at {WORKER_MEMORY // 2**20} MiB for each worker")
    return Reckoned(count, why)
