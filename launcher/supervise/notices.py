"""What workers tell their supervisor: systemd's protocol, on a socket that they inherit.

Nobody else can reach it, and the kernel says which process has written: a child of a worker is not the worker.
Source: sd_notify(3), unix(7).
"""

import os
import signal
import socket
import struct

from ..board import Board
from ..lean import Record
from .ledger import Ledger

CREDENTIALS = struct.Struct("3i")
REPLACE = "X_REPLACE"
"""Why the worker asks to be replaced; systemd leaves names that begin with X_ to others."""

VOICE = "LAUNCHER_VOICE"
"""Environment variable that names a pipe with one byte. Of workers that begin together, whoever reads it speaks."""


class Notices:
    """Both ends of the socket; whoever forks keeps the one it needs."""

    def __init__(self) -> None:
        self.voice, word = os.pipe()
        os.write(word, b"1")
        os.close(word)
        self._reader, self.writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._reader.setblocking(False)
        self._reader.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def fileno(self) -> int:
        return self._reader.fileno()

    def read(self) -> tuple[int, dict[str, str]] | None:
        """Return the next message with the process that has sent it; None while there is none."""
        try:
            data, extra, _, _ = self._reader.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))
        except BlockingIOError:
            return None
        pid = next((CREDENTIALS.unpack(data)[0] for _, kind, data in extra if kind == socket.SCM_CREDENTIALS), 0)
        words = (line.partition("=") for line in data.decode(errors="replace").splitlines())
        return pid, {name: value for name, _, value in words}

    def close_reader(self) -> None:
        self._reader.close()


class Post(Record):
    """A worker's place: what its supervisor gives it."""

    row: int
    """On the board."""
    generation: int
    board: Board
    ledger: Ledger
    notices: socket.socket
    lifeline: int
    """Descriptor that becomes readable when the supervisor has gone."""
    sign_every: float
    """How often a thread that answers requests is to show that it does, in seconds."""

    def tell(self, line: str) -> None:
        """Tell the supervisor; a worker neither waits for it nor ends with it here."""
        try:
            self.notices.send(line.encode(), socket.MSG_DONTWAIT)
        except OSError:
            pass


def has_the_word() -> bool:
    """Return whether this worker tells why it cannot start: those that began with it would say the same."""
    voice = os.environ.get(VOICE)
    if not voice:
        return True
    # Their end is a reason to end this one, which has yet to speak.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    return bool(os.read(int(voice), 1))
