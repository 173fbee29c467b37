"""A stop of uWSGI that has something to do before the workers are told.

The master of uWSGI 2.0.30 runs no Python, and a signal can be hooked to one C function, which is given its number. So
SIGTERM only closes a descriptor of the master's; a thread of ours, in the router or in a worker, waits for that, does
what is to be done, and sends the master a signal that ends it.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from .. import instance
from .uwsgi_table import table

if TYPE_CHECKING:
    from collections.abc import Callable

TOLD = int(signal.SIGTERM)
"""The descriptor that SIGTERM closes, being hooked to C's `close`."""

GRACEFULLY, AT_ONCE = 40, 41
"""Signals that the master is hooked to end its workers by; real-time ones, which mean nothing else."""

_reader = -1


def prepare() -> list[str]:
    """Open what the master closes, before uWSGI forks, and return the words that hook the signals."""
    global _reader
    _reader, writer = os.pipe()
    os.dup2(writer, TOLD, inheritable=False)
    os.close(writer)
    os.register_at_fork(after_in_child=let_go)
    hooks = (f"{GRACEFULLY} grace_them_all", f"{AT_ONCE} kill_them_all")
    return [word for hook in hooks for word in ("--hook-master-start", f"unix_signal:{hook}")]


def let_go() -> None:
    """Close the descriptor in a process that is not the master: its own has to be the last."""
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(TOLD), os.fstat(_reader)):  # two ends of one pipe
            os.close(TOLD)


def watch(finish: Callable[[], bool], first: Callable[[], None] = lambda: None) -> None:
    """Wait for the stop in a thread, and drive it. `finish` returns whether all that was in flight is answered."""
    _thread.start_new_thread(_wait, (finish, first))


def watch_as_worker() -> None:
    """Do so in every worker, where there is no router: one of them drives the stop, the next if that one is gone."""
    if table().drain_delay_s and not table().routed:
        watch(lambda: True, table().lock_stop)


def _wait(finish: Callable[[], bool], first: Callable[[], None]) -> None:
    rows = table()
    while os.read(_reader, 1):
        pass
    first()
    finished = False
    try:
        rows.tell("STOPPING=1")
        if rows.drain_delay_s:
            instance.drain(os.environ)
            time.sleep(rows.drain_delay_s)
        finished = finish()
    finally:
        os.kill(rows.master, GRACEFULLY if finished else AT_ONCE)
