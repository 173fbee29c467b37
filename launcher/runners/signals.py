"""What signals ask of a worker."""

import logging
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from ..application import DEVELOP

RETIRE = signal.SIGRTMIN + 1
"""Asks to stop and to leave to other workers what the kernel has accepted."""
QUICK = signal.SIGRTMIN + 2
"""Asks to stop soon. Not SIGINT: a terminal sends that to every process, the supervisor first of all."""
STOPPING = (signal.SIGTERM, RETIRE, QUICK)
IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)

QUICK_S = 0.1 if DEVELOP in os.environ else 1.0
"""What SIGINT leaves to the requests in flight, in seconds."""

NEXT_REQUEST_S = 0.2
"""How long a stop waits after an answer for the next request: a client that sends one after another is then told to
close its connection, rather than cut off."""
NEXT_REQUEST_TO_RETIRED_S = 5.0
"""The same for a worker that others have replaced: it is in nobody's way."""
FIRST_REQUEST_S = 2.0
QUICK_FIRST_REQUEST_S = 0.2
"""How long a stop waits for the first byte on a connection that was accepted before it."""
OVERTAKEN_S = 0.05
OVERTAKEN_FIRST_S = 0.25
"""The same two in development: the next request is to be answered by the code that has been saved."""

logger = logging.getLogger("launcher.runner")


class Signals:
    """Collects signals for a loop that waits for `fileno()` to become readable.

    The first of `STOPPING` sets `stop`; QUICK still makes haste of a stop. `lifeline` becomes readable when the
    supervisor has gone: then the loop is to call `orphaned`.
    """

    def __init__(self, lifeline: int, sockets_stay: bool, shut: Callable[[], None]) -> None:
        """`shut` is what the supervisor does before it tells its workers."""
        self.lifeline = lifeline
        self._shut = shut
        self._sockets_stay = sockets_stay
        self.stop = 0
        """The signal that asked to stop; 0 while none did."""
        self.interrupts_import = False
        """Whether a stop signal raises SystemExit: while the application is imported no loop is there to look."""
        self._stopped_at = 0.0
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def install(self) -> None:
        for number in STOPPING:
            signal.signal(number, self._on_stop)
        for number in IGNORED:
            signal.signal(number, self._on_ignored)
        self._watch()

    def reinstall(self) -> None:
        """Take back what the application's import may have changed, but for signals that mean nothing to us."""
        for number in STOPPING:
            signal.signal(number, self._on_stop)
        self._watch()

    def _watch(self) -> None:
        # The kernel may give a signal to any thread, and select() goes on after one (PEP 475):
        # the byte that Python writes here is what wakes the loop.
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._reader

    def wake(self) -> None:
        """Make `fileno()` readable; any thread may."""
        try:
            os.write(self._writer, b"\0")
        except BlockingIOError:
            pass  # it is readable already

    def clear(self) -> None:
        """Make `fileno()` unreadable until the next signal or `wake`."""
        try:
            while os.read(self._reader, 4096):
                pass
        except BlockingIOError:
            pass

    def orphaned(self) -> None:
        """Stop as on TERM: nobody else is there to ask for it."""
        if not self.stop:
            self._shut()
            logger.error("the supervisor has gone")
            self._stop(signal.SIGTERM)

    @property
    def takes_backlog(self) -> bool:
        """Whether a stop is to answer what the kernel has accepted: nobody else may be left to do it."""
        return self.stop != RETIRE and not self._sockets_stay

    def deadline(self, graceful_s: float) -> float:
        """Return the monotonic time by which all is to be over: so long after the signal, or after now."""
        if not self.stop:
            return time.monotonic() + graceful_s
        return self._stopped_at + (min(graceful_s, QUICK_S) if self.stop == QUICK else graceful_s)

    def next_request_s(self) -> float:
        """Return how long a stop waits for one more request on a connection."""
        if DEVELOP in os.environ:
            return OVERTAKEN_S
        return NEXT_REQUEST_TO_RETIRED_S if self.stop == RETIRE else NEXT_REQUEST_S

    def first_request_s(self) -> float:
        """Return how long a connection that was accepted before the stop may stay silent."""
        if DEVELOP in os.environ:
            return OVERTAKEN_FIRST_S
        return QUICK_FIRST_REQUEST_S if self.stop == QUICK else FIRST_REQUEST_S

    def _on_ignored(self, number: int, frame: FrameType | None) -> None:
        pass

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if not self.stop or number == QUICK:
            self._stop(number)
        if self.interrupts_import:
            raise SystemExit(0)

    def _stop(self, number: int) -> None:
        self._stopped_at = time.monotonic()
        self.stop = number
