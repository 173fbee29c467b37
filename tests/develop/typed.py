"""Commands as a person types them: on a terminal, or with their words sent into a pipe."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

from launcher.testing.client import DEADLINE_S
from launcher.testing.serving import clean_environment, session_members

SERVE = (sys.executable, "-P", "-m", "launcher")


def log_in(terminal: int) -> None:
    """Begin a session on a terminal, as login does, whatever the caller made of its own end."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.login_tty(terminal)


class Typed:
    """A context manager: inside it the command runs in a session of its own, after it nothing of that is left."""

    def __init__(self, directory: Path, *command: str, pipe: bool = False) -> None:
        self.shown = ""
        self._seen = 0
        self._screen, theirs = os.pipe() if pipe else os.openpty()
        self.process = subprocess.Popen(
            command, cwd=directory, env={**clean_environment(), "XDG_RUNTIME_DIR": str(directory), "TERM": "xterm"},
            stdin=subprocess.DEVNULL if pipe else theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, preexec_fn=None if pipe else lambda: log_in(theirs),
        )  # fmt: skip
        os.close(theirs)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read until this is shown, after what was waited for last."""
        end = time.monotonic() + DEADLINE_S
        while not (found := re.compile(pattern).search(self.shown, self._seen)):
            ready, _, _ = select.select([self._screen], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"waited in vain for {pattern}:\n{self.shown}"
            self.shown += os.read(self._screen, 65536).decode(errors="replace")
        self._seen = found.end()
        return found

    def rest(self) -> str:
        """Return what was shown after that, once nobody is left who could show more."""
        with contextlib.suppress(OSError):  # a terminal that nobody has open
            while data := os.read(self._screen, 65536):
                self.shown += data.decode(errors="replace")
        return self.shown[self._seen :]

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def echoes(self) -> bool:
        """Return whether the terminal shows what is typed, and hands it on by lines."""
        flags: int = termios.tcgetattr(self._screen)[3]
        return bool(flags & termios.ECHO and flags & termios.ICANON)

    def tree(self) -> list[int]:
        """Return the processes that live."""
        return list(session_members(self.process.pid))

    def close(self) -> None:
        """Close the terminal, or leave off reading the pipe."""
        os.close(self._screen)
        self._screen = -1

    def __enter__(self) -> "Typed":
        return self

    def __exit__(self, *error: object) -> None:
        for pid in self.tree():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self._screen >= 0:
            self.close()
