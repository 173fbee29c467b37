"""uWSGI's own signals, which its master passes on to workers: they are told to go, and tell that they live."""

from __future__ import annotations

import os

import pyuwsgi
import uwsgi

from ..application import DEVELOP
from .uwsgi_table import table

LOOK = 255
"""uWSGI's signal, not the system's, that makes workers look whether they are dismissed. They do between two requests.
The system's own, SIGHUP, ends a worker on the spot that has accepted a connection and not begun to read it, and breaks
an answer off that waits for a slow client (uWSGI 2.0.30)."""
PULSE = 254
"""uWSGI's signal that the master sends once a second to whichever worker has a thread to spare."""


def register() -> None:
    """Tell the master whom the signals are for, before it forks the first worker."""
    uwsgi.register_signal(LOOK, "active-workers", _look)
    if DEVELOP not in os.environ:  # nobody counts there; and a worker that stands by would find them all
        uwsgi.register_signal(PULSE, "worker", _pulse)
        uwsgi.add_timer(PULSE, 1)


def _pulse(number: int) -> None:
    """Tell what the workers have done; and systemd, that there is one which answers."""
    rows = table()
    for worker in uwsgi.workers():
        rows.board.count(rows.row(worker["id"]), worker["requests"])
    rows.board.show(rows.row(uwsgi.worker_id()))
    if "WATCHDOG_USEC" in rows.systemd:
        rows.tell("WATCHDOG=1")


def _look(number: int) -> None:
    if table().dismissed(uwsgi.worker_id()):
        import ctypes  # once in the life of a worker

        ctypes.PyDLL(pyuwsgi.__file__).goodbye_cruel_world()
