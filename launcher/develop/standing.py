"""A server that stands by: it was started ahead of its time, and waits where it would begin to read the project.

The word to go on is a byte that nobody takes from its socket: each worker finds it there, later ones too. Where the
development loop says no, or has gone, the socket is at its end. A second socket is for a word that comes a little
later: while workers load the application, the loop makes sure that they should.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MADV_POPULATE_WRITE = 23
MOST_COPIED = 64 * 2**20
"""Bytes."""

_words: tuple[socket.socket, ...] = ()
_directory = ""


def stand_by(words: Iterable[socket.socket], directory: str) -> None:
    """Have this process, and all that are forked from it, wait for the words."""
    global _words, _directory
    _words, _directory = tuple(words), directory
    for word in _words:
        word.set_inheritable(False)  # it is not for what the application starts


def wait() -> None:
    """Wait until the application is to be loaded, if that is to be waited for; the process may end here."""
    for word in _words[:1]:
        if waits():
            copy_pages()
        _hear(word)
        with contextlib.suppress(OSError):
            os.chdir(_directory)  # another directory may have taken its name
        importlib.invalidate_caches()


def be_sure() -> None:
    """Wait until it was right to load it, likewise: nobody may be answered or told anything before."""
    for word in _words[1:]:
        _hear(word)


def waits() -> bool:
    """Return whether this is a server that stands by still."""
    try:
        return any(not word.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) for word in _words[:1])
    except BlockingIOError:
        return True


def copy_pages() -> None:
    """Copy what this process still shares with the one that it was forked from, as far as that is not much.

    The kernel would do so page by page, with the first write to each: loading a small site writes to 3000 of them,
    which takes 10 ms on a virtual machine. Source: madvise(2); Linux before 5.14 refuses.
    """
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    left = MOST_COPIED
    with open("/proc/self/maps") as maps:
        fields = [line.split() for line in maps]
    for place, rights, *_, name in fields:
        start, end = (int(number, 16) for number in place.split("-"))
        # What has no name is Python's own memory: there its field is the number of the file, 0.
        if rights == "rw-p" and name in ("0", "[heap]") and end - start <= left:
            left -= end - start
            madvise(start, end - start, MADV_POPULATE_WRITE)


def _hear(word: socket.socket) -> None:
    if not word.recv(1, socket.MSG_PEEK):
        os._exit(0)
