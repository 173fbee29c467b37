"""A server that stands by: it was started ahead of its time, and waits where it would begin to read the project.

The word to go on is a byte that nobody takes from its socket: each worker finds it there, later ones too. Where the
development loop says no, or has gone, the socket is at its end.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket

_word: socket.socket | None = None
_directory = ""


def stand_by(word: socket.socket, directory: str) -> None:
    """Have this process, and all that are forked from it, wait for the word before they load the application."""
    global _word, _directory
    _word, _directory = word, directory


def wait() -> None:
    """Wait for the word, if there is one to wait for; without it the process ends."""
    if _word is None:
        return
    if not _word.recv(1, socket.MSG_PEEK):
        os._exit(0)
    with contextlib.suppress(OSError):
        os.chdir(_directory)  # another directory may have taken its name
    importlib.invalidate_caches()


def waits() -> bool:
    """Return whether the word is still to come: whatever happens here is no affair of anybody's."""
    try:
        return _word is not None and not _word.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
