"""uWSGI's master while it loads the application, with `preload`: it may be told to stop, and it may fail.

uWSGI 2.0.30 ignores SIGTERM until its loop begins. The bell notes it meanwhile, which nobody would hear before the end
of the import.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from .. import instance
from ..sockets import SOCKETS_OURS
from . import streams, uwsgi_bell, uwsgi_door, uwsgi_succession
from .reload import Reload
from .uwsgi_streams import say
from .uwsgi_succession import FAILED, Elders
from .uwsgi_table import table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import NoReturn

    from ..application import ApplicationError

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Between attempts to load an application that its proof has loaded."""
POLL_S = 0.02


class Interrupted(SystemExit):
    """Raised where the application is loaded when the server is told to stop."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM break off what follows, also one that has come before. Raises Interrupted.

    Where the application takes that for an error of its own, the thread of the master finds the signal in the bell.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        told = uwsgi_bell.heard()
        for number in told:
            uwsgi_bell.ring(number)
        if signal.SIGTERM in told or os.path.exists(instance.draining_file(os.environ)):
            raise Interrupted(0)
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(0)


def stop() -> NoReturn:
    """End the server, which was told to stop, once workers of a master before have finished."""
    succession = uwsgi_succession.inherited()
    if succession is not None:
        Reload.resume(succession.reload, table().systemd).stop()
        _let_finish(Elders(succession.workers, succession.pipes))
    streams.flush()
    uwsgi_succession.end_process(0)


def _let_finish(elders: Elders) -> None:
    """Let workers go who are the only ones."""
    rows = table()
    rows.begin_stop()
    if SOCKETS_OURS in os.environ:
        uwsgi_door.close(uwsgi_succession.listeners(), rows.grace_s / 2)
    elders.finish(rows.grace_s)


def try_again(error: ApplicationError) -> NoReturn:
    """Have the workers of before serve on, since the application cannot be loaded, which its proof could do.

    A little later the master executes itself once more; for another SIGHUP at once, if the code is proven anew.
    """
    from ..user_code import tell

    succession = uwsgi_succession.inherited()
    assert succession is not None
    rows, elders, wait = table(), Elders(succession.workers, succession.pipes), uwsgi_bell.wait
    tell(error)
    if not elders.left():
        uwsgi_succession.end_process(FAILED)
    reload = Reload.resume(succession.reload, rows.systemd)
    pause_s = min(FIRST_PAUSE_S * 2**succession.attempts, LONGEST_PAUSE_S)
    reason = "the main process cannot load the application"
    say(f"{reason}, old workers serve on; the next try is in {pause_s:g} s")
    reload.fail(f"{reason}: {error.message}", "old workers serve on while the main process tries again")
    rows.suspend_watchdog()
    told = wait(pause_s)
    while signal.SIGHUP in told and signal.SIGTERM not in told:
        other, told = Reload(rows.directory, reload.generation, rows.systemd), b""
        while (verdict := other.poll()) is None and signal.SIGTERM not in told:
            told += wait(POLL_S)
        if verdict is None:
            other.stop()
        elif verdict.ok:
            other.replacing()
            reload = other
            break
        else:
            other.end(verdict.reason)
            reload.number = other.number  # whoever asks again waits for a higher one
            told = told or wait(pause_s)
    signal.pthread_sigmask(signal.SIG_BLOCK, uwsgi_succession.HELD)
    told += wait(0)
    if signal.SIGTERM in told:
        _let_finish(elders)
        uwsgi_succession.end_process(0)
    again = succession.again or signal.SIGHUP in told
    carried = succession._replace(reload=reload.carry(), again=again, attempts=succession.attempts + 1)
    uwsgi_succession.execute(carried, reload)
