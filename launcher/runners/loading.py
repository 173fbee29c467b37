"""An end to the loading of an application that hangs, with the place where it does.

Nobody else would notice on gunicorn 27.0.1 and uWSGI 2.0.30: their masters look at workers that serve, or not at all.
"""

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..application import DEVELOP

LOADING_S = 290.0
"""How long a worker may take: a little less than its main process, or systemd, would wait for it."""


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
