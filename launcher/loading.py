"""How long an application may take to load, at a start, in a proof of new code and in a check; and its end after that.

Nobody else would notice one that hangs on gunicorn 27.0.1 and uWSGI 2.0.30: their masters look at workers that serve,
or not at all.
"""

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .application import DEVELOP

LOADING_S = 290.0
"""For whoever loads it."""
WAITING_S = 300
"""For whoever waits for that, a main process or systemd: a little more, so that it can say where it hangs."""
EXTENDED = f"EXTEND_TIMEOUT_USEC={WAITING_S * 1_000_000}"
"""What systemd is told where an application is about to be loaded; it limits reloads as it does starts."""


@contextmanager
def in_time() -> Iterator[None]:
    """End this process with status 1, and tell where it is, if what follows has not ended in time.

    A thread of C does so, since an import may hang with Python's lock. In development it may take as long as it likes.
    """
    if DEVELOP in os.environ:
        yield
        return
    faulthandler.dump_traceback_later(LOADING_S, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
