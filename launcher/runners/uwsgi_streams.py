"""What is written to standard error: lines of ours, and in development Python's but not uWSGI's.

Those go to a file, since a start has fifty lines of them.
"""

import os
import sys
from typing import TextIO

_kept: list[TextIO] = []
"""Standard output and standard error."""


def set_messages_apart(log_file: str) -> None:
    """Send to a file what uWSGI writes to descriptor 2.

    wsgi.errors, which uWSGI 2.0.30 opens on it, is put right with each request (launcher.develop.worker).
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    _kept[:] = [sys.stdout, sys.stderr]
    fd = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(fd, 2)
    os.close(fd)


def restore() -> None:
    """Undo what uWSGI 2.0.30 does where there is no terminal: it has both streams write to descriptor 2."""
    if _kept:
        sys.stdout, sys.stderr = _kept


def say(line: str) -> None:
    """Write a line to the log."""
    os.write(2, f"serve: {line}\n".encode("utf-8", "backslashreplace"))
