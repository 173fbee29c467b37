"""The thread of ours in uWSGI's master: it drives the stop.

The master of uWSGI 2.0.30 is C, and waits without Python's lock: a thread may run beside it. Python's own handler of a
signal, put in place when uWSGI has put its own, writes the signal's number to a pipe whatever the master is doing, and
there the thread reads it. No worker is needed, so that also a server ends whose workers are all gone or stuck.
"""

from __future__ import annotations

import _thread
import os
import signal
import time
from typing import TYPE_CHECKING

from .. import instance
from . import uwsgi_router
from .uwsgi_table import AT_ONCE, GRACEFULLY, table

if TYPE_CHECKING:
    from types import FrameType


def prepare() -> list[str]:
    """Return the words that begin the thread, and hook the signals by which it ends the workers."""
    hooks = (
        # The master lets Python's lock go whenever it has forked, and here takes it for a moment.
        "call:PyGILState_Ensure",
        f"call:PyRun_SimpleString from {__name__} import begin; begin()",
        "callint:PyGILState_Release 1",
        f"unix_signal:{GRACEFULLY} grace_them_all",
        f"unix_signal:{AT_ONCE} kill_them_all",
    )
    return [word for hook in hooks for word in ("--hook-master-start", hook)]


def begin() -> None:
    """Begin the thread. uWSGI calls it in the master's own one, when its signal handlers are in place."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _heard)
    # A signal is to interrupt the master where it waits, and not the thread.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    _thread.start_new_thread(_attend, (reader,))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _heard(number: int, frame: FrameType | None) -> None:
    """Do nothing: the number is in the pipe."""


def _attend(bell: int) -> None:
    finished = False
    try:
        while signal.SIGTERM not in os.read(bell, 1):
            pass
        finished = _stop()
    finally:
        table().end_workers(gracefully=finished)


def _stop() -> bool:
    """Do what comes before workers are told; return whether they may finish what they have."""
    rows = table()
    rows.tell("STOPPING=1")
    instance.drain(os.environ)
    time.sleep(rows.drain_delay_s)
    if rows.routed:
        # The router's own thread ends the master when nothing is in flight, or after the grace.
        uwsgi_router.end()
        time.sleep(rows.grace_s + uwsgi_router.ONCE_MORE_S)
    return not rows.routed
