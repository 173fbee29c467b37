"""With preload: a process that has loaded the application, and that workers are forked from.

The supervisor forks it, and stays the parent of all: a worker's own parent ends at once, and the worker becomes a
child of the supervisor, which is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER).
"""

import logging
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from .children import become_subreaper, how_it_ended
from .notices import Post

if TYPE_CHECKING:
    from .supervisor import Supervisor
    from .trade import Orders

T = TypeVar("T")

logger = logging.getLogger("launcher.supervisor")

LAST_WORDS_S = 5.0
"""For the process between a template that has ended and a worker, which has no more to do than to tell of it."""


class Template(Generic[T]):
    """The process of one generation, as its supervisor sees it."""

    def __init__(self, supervisor: "Supervisor[T]", post: Post, orders: "Orders[T]") -> None:
        """Fork it. Raises CannotFork, OSError."""
        become_subreaper()
        self.generation = post.generation
        self.awaited: list[int] = []
        """The workers that are to come of it."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def live() -> NoReturn:
            self._channel.close()
            serve_forks(theirs, post, supervisor, orders)

        self.pid = supervisor.fork(live, orders.environ)
        theirs.close()
        self._channel.setblocking(False)

    def fileno(self) -> int:
        return self._channel.fileno()

    def ask(self, number: int, row: int) -> None:
        """Ask for a worker, which comes once the application is loaded."""
        self.awaited.append(number)
        with suppress(OSError):  # it has ended: those that it is awaited to make are buried with it
            self._channel.send(f"{number} {row}".encode())

    def read(self) -> list[tuple[int, int]]:
        """Return the workers that there are by now, each with its process."""
        made = []
        try:
            while answer := self._channel.recv(64):
                number, pid = map(int, answer.split())
                self.awaited.remove(number)
                made.append((number, pid))
        except OSError:
            pass  # nothing yet, or no more
        return made

    def read_to_the_end(self) -> list[tuple[int, int]]:
        """Return the workers that it still made, once it has ended: whoever was making one tells of it."""
        self._channel.settimeout(LAST_WORDS_S)
        return self.read()

    def end(self, number: int) -> None:
        """Send it a signal; it has been told nothing that is worth waiting for."""
        os.kill(self.pid, number)

    def lose(self, status: int) -> None:
        """Note that it has ended by itself, and say so where no worker that is awaited tells of it."""
        if not self.awaited:
            how = how_it_ended(status)
            logger.warning("what workers are forked from (pid %d) %s: the next one loads anew", self.pid, how)
        self.close()

    def close(self) -> None:
        self._channel.close()


def serve_forks(channel: socket.socket, post: Post, supervisor: "Supervisor[T]", orders: "Orders[T]") -> NoReturn:
    """Load the application, and fork a worker for each message, to the end of the process."""
    live = supervisor.trade.load(post, orders.options)
    for number in supervisor.trade.signals.values():
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
    while message := channel.recv(64):
        number, row = map(int, message.split())
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        middle = os.fork()
        if middle:
            os.waitpid(middle, 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            continue
        told, telling = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(telling)
            # Once its parent has ended: it is the supervisor's child then, and known to it.
            os.read(told, 1)
            os.close(told)
            channel.close()
            live(post._replace(row=row))
        channel.send(f"{number} {pid}".encode())
        os._exit(0)
    os._exit(0)
