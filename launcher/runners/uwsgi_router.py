"""uWSGI's router, which keeps connections for the workers, and how it comes to an end.

uWSGI 2.0.30 kills its router before its workers have answered, and nothing in it makes the router stop accepting. So a
thread of ours in the router goes before, when that of the master rings (launcher.runners.uwsgi_master):

1. it takes the listening sockets out of the router's epoll: who connects now waits for the next instance. Where there
   will be none, the door has been closed before (launcher.runners.uwsgi_door);
2. workers say `Connection: close` with each answer, and the router closes that connection behind it;
3. when nothing is in flight, and idle clients have had time to ask once more, it tells the master to stop.
"""

from __future__ import annotations

import _thread
import contextlib
import itertools
import os
import select
import shlex
import signal
import socket
import time
from typing import TYPE_CHECKING

from ..address import UNIX_PATH_LIMIT
from .uwsgi_table import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ONCE_MORE_S = 1.0
"""For a client on an idle connection to ask, and to hear that the connection closes."""
POLL_S = 0.02
FINISHED = b"+"

_path = ""
_bell = _answer = (-1, -1)
"""Pipes, for reading and for writing: to the router, and back."""


def prepare(words: Sequence[str], directory: str | None, owner: int) -> list[str]:
    """Open the socket between router and workers, before uWSGI forks, and return the words that say so.

    `words` are uWSGI's so far, `directory` is that of the instance's record, `owner` the user whom uWSGI becomes, -1
    for none.
    """
    global _path, _bell, _answer
    _bell, _answer = os.pipe(), os.pipe()
    _path, cleaning = _place(directory, owner)
    between = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)  # the workers believe whatever this socket says of a client
    try:
        between.bind(_path)
    finally:
        os.umask(before)
    _give(_path, owner)
    between.listen(socket.SOMAXCONN)
    fd = between.detach()
    # uWSGI forks the router without a word to Python: the first of these calls takes the GIL, whether the master held
    # it or not, and the last lets it go for good.
    hooks = ("PyGILState_Ensure", f"PyRun_SimpleString from {__name__} import begin; begin()", "PyEval_SaveThread")
    return [
        *("--socket", f"fd://{fd}", "--http-to", _path),
        *(word for hook in hooks for word in ("--hook-as-gateway", f"call:{hook}")),
        *cleaning,
        *_rights(words),
    ]


def _rights(words: Sequence[str]) -> Iterator[str]:
    """Yield what uWSGI would do to unix sockets that it opens itself, were they not its router's."""
    paths = [word for before, word in itertools.pairwise(words) if before == "--http" and word.startswith("/")]
    owners = [word for before, word in itertools.pairwise(words) if before == "--chown-socket"]
    for path in map(shlex.quote, paths):
        yield from ("--hook-as-user-atexit", f"exec:rm -f {path}")
        for owner in map(shlex.quote, owners[-1:]):
            yield from ("--hook-as-root", f"exec:chown {owner} {path}")


def _place(directory: str | None, owner: int) -> tuple[str, list[str]]:
    """Return a path for the socket between router and workers, and the words that remove what the record does not."""
    if directory is not None and len(os.fsencode(path := os.path.join(directory, "router"))) <= UNIX_PATH_LIMIT:
        return path, []
    import tempfile

    own = tempfile.mkdtemp(prefix="serve-", dir="/tmp")
    _give(own, owner)
    return os.path.join(own, "router"), ["--hook-as-user-atexit", f"exec:rm -rf {shlex.quote(own)} 2>/dev/null"]


def _give(path: str, owner: int) -> None:
    if owner != -1:  # a sandbox may forbid the call itself
        os.chown(path, owner, -1)


def begin() -> None:
    """Wait for the end, in a thread of the router. uWSGI calls it in every router that it forks."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the whole group it would end the router alone
    _thread.start_new_thread(_wait, ())


def end() -> bool:
    """Have the router finish what it has; return whether it could, within the grace."""
    os.write(_bell[1], b"!")
    answered, _, _ = select.select([_answer[0]], [], [], table().grace_s + ONCE_MORE_S)
    return bool(answered) and os.read(_answer[0], 1) == FINISHED


def _wait() -> None:
    os.read(_bell[0], 1)
    os.write(_answer[1], FINISHED if _drain() else b"-")


def _drain() -> bool:
    """Let the router finish what it has; return whether it could, within the grace."""
    table().draining = True
    ports = _stop_accepting()
    busy = time.monotonic()
    end = busy + table().grace_s
    while (now := time.monotonic()) < end:
        asking, open_ = _connections(ports)
        if asking:
            busy = now
        elif not open_ or now - busy > ONCE_MORE_S:
            return True
        time.sleep(POLL_S)
    return False


def _stop_accepting() -> set[object]:
    """Let the router accept nobody more; return what it listened at."""
    ports: set[object] = set()
    polls = [fd for fd, kind in _descriptors() if kind == "anon_inode:[eventpoll]"]
    for sock in _sockets():
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            ports.add(_port(sock))
            for poll in polls:
                with contextlib.suppress(OSError), select.epoll.fromfd(os.dup(poll)) as queue:
                    queue.unregister(sock.fileno())
    return ports


def _connections(ports: set[object]) -> tuple[int, int]:
    """Return how many requests workers have, and how many clients are connected."""
    asking = clients = 0
    for sock in _sockets():
        with contextlib.suppress(OSError):
            if sock.getpeername() == _path:
                asking += 1
            elif _port(sock) in ports:
                clients += 1
    return asking, clients


def _sockets() -> Iterator[socket.socket]:
    """Yield the router's sockets, each while it is looked at."""
    for fd, kind in _descriptors():
        if kind.startswith("socket:"):
            with contextlib.suppress(OSError):
                sock = socket.socket(fileno=fd)
                try:
                    yield sock
                finally:
                    sock.detach()


def _descriptors() -> Iterator[tuple[int, str]]:
    """Yield the number of each open file, and what it is. Source: proc(5), /proc/pid/fd."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            yield int(name), os.readlink(f"/proc/self/fd/{name}")


def _port(sock: socket.socket) -> object:
    """Return what a listening socket and the connections that it accepted have in common."""
    name = sock.getsockname()
    return name if sock.family == socket.AF_UNIX else name[1]
