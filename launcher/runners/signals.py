"""What signals ask of a runner's process."""

import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)
IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

QUICK_S = 1.0
"""What SIGINT leaves to the requests in flight, in seconds."""

NEXT_REQUEST_S = 0.2
"""How long a stop waits after an answer for the next request: a client that sends one after another is then told to
close its connection, rather than cut off."""
FIRST_REQUEST_S = 2.0
QUICK_FIRST_REQUEST_S = 0.2
"""How long a stop waits for the first byte on a connection that was accepted before it."""

logger = logging.getLogger("launcher.runner")


class Signals:
    """Collects signals for a loop that waits for `fileno()` to become readable.

    The first TERM or INT sets `stop`; a second one ends the process on the spot, after `last_act`.
    """

    def __init__(self, last_act: Callable[[], None]) -> None:
        self.stop = 0
        """The signal that asked to stop; 0 while none did."""
        self.interrupts_import = False
        """Whether a stop signal raises SystemExit: while the application is imported no loop is there to look."""
        self._stopped_at = 0.0
        self._last_act = last_act
        self._ignored: deque[int] = deque()
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
        """Take back what the application's import may have changed, but for signals that we ignore anyway."""
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

    def deadline(self, graceful_s: float) -> float:
        """Return the monotonic time by which all is to be over: so long after the signal, or after now."""
        if not self.stop:
            return time.monotonic() + graceful_s
        return self._stopped_at + (min(graceful_s, QUICK_S) if self.stop == signal.SIGINT else graceful_s)

    def first_request_s(self) -> float:
        """Return how long a connection that was accepted before the stop may stay silent."""
        return QUICK_FIRST_REQUEST_S if self.stop == signal.SIGINT else FIRST_REQUEST_S

    def report(self) -> None:
        """Log what came and was ignored. Handlers cannot: they may have interrupted the log's own write."""
        while self._ignored:
            logger.warning("ignoring %s", signal.Signals(self._ignored.popleft()).name)

    def _came_with_another(self) -> bool:
        """Return whether two stop signals came together.

        Then the second handler interrupts the first before its first line, and its SystemExit leaves both at once:
        only the bytes that Python wrote tell that there were two.
        """
        numbers = b""
        try:
            numbers = os.read(self._reader, 4096)
        except BlockingIOError:
            pass
        return sum(number in STOPPING for number in numbers) > 1

    def _on_ignored(self, number: int, frame: FrameType | None) -> None:
        self._ignored.append(number)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if self.stop or (self.interrupts_import and self._came_with_another()):
            self._last_act()
            os._exit(0)
        self._stopped_at = time.monotonic()
        self.stop = number
        if self.interrupts_import:
            raise SystemExit(0)
