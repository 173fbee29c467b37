"""The next master of a uWSGI, which takes this one's place for new words, and with `preload` for new code.

What the master has read or imported it cannot forget, and a full reload of uWSGI 2.0.30 begins with the end of all
workers. So the master runs its new command by exec, as gunicorn's does: the same process id, the same children, and of
its descriptors those that are carried over here. The workers of before serve on until others do.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import instance
from . import before_fork
from .reload import Reload
from .uwsgi_table import table

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import NoReturn

    from .reload import Verdict

VARIABLE = "LAUNCHER_UWSGI_SUCCESSION"
"""Environment variable with a JSON object: what the master that was here leaves to the next."""

MORE = 42
"""The signal that makes the master start one more worker, and before that be replaced, if it is to. Otherwise the
worker reloads the others (launcher.runners.uwsgi_reload)."""
RENEW = 43
"""The signal that tells the master of a reload that was handed over."""
HELD = frozenset((signal.SIGHUP, signal.SIGINT, signal.SIGTERM, MORE, RENEW))
"""Signals that wait until the next master has its handlers."""
FRONTS = ("--http", "--http-socket", "--socket")
"""What an address follows in the command."""

PROGRAM = 4
"""Words of a native command that say which program it is."""
HANDED = "renewal.json"
"""In the record of the instance: that reload, and when it began."""

FAILED = 4
"""Exit status of a server whose application cannot be loaded; sent to the master as a signal, it ends it with that."""

POLL_S = 0.02


class Succession(NamedTuple):
    """What is carried over."""

    reload: dict[str, Any]
    began: float
    """When the reload did: monotonic, in seconds."""
    again: bool
    """Whether another one was asked for meanwhile."""
    workers: list[list[int]]
    """Process and row of each."""
    pipes: list[int]
    """Both ends of those by which the workers hear their master. They end where these are closed."""
    attempts: int = 0
    """How often the application could not be loaded."""


class Start(NamedTuple):
    """How this master was started."""

    environ: dict[str, str]
    words: list[str]
    directory: str


_start: Start
_inherited: Succession | None = None
_foreign: frozenset[int] = frozenset()
"""Sockets that the application has opened while it was loaded."""


def inherit() -> Succession | None:
    """Return what the master that was here has left; None at a start."""
    global _inherited
    text = os.environ.pop(VARIABLE, None)
    if text is not None:
        _inherited = Succession(**json.loads(text))
        for descriptor in _inherited.pipes:
            os.set_inheritable(descriptor, False)
    return _inherited


def note_start() -> None:
    """Note how this process was started, before anybody changes it."""
    global _start
    _start = Start(dict(os.environ), sys.argv[:], os.getcwd())


def inherited() -> Succession | None:
    return _inherited


def note_foreign(descriptors: Collection[int]) -> None:
    """Note which sockets are the application's."""
    global _foreign
    _foreign = frozenset(descriptors)


def forget() -> None:
    """Close what a worker, or a master whose succession is over, has no use for."""
    global _inherited
    over, _inherited = _inherited, None
    for descriptor in over.pipes if over else ():
        os.close(descriptor)


def first_row(slots: int) -> int:
    """Return from where on the board has room for so many workers beside those of before."""
    rows = [row for _, row in _inherited.workers] if _inherited else []
    return 0 if not rows or min(rows) >= slots else max(rows) + 1


def needed(verdict: Verdict) -> bool:
    """Return whether what was proven is more than workers read when they begin."""
    if not verdict.argv:
        return False
    hooks = {*verdict.set, *verdict.drop} & {"LAUNCHER_UWSGI"}
    return bool(hooks) or _with_descriptors(verdict.argv)[PROGRAM:] != _start.words[1:]


def hand_over(reload: Reload, began: float) -> None:
    """Have the thread of the master go on with a reload whose proof is good."""
    rows = table()
    assert rows.directory is not None
    rows.renewing = True
    instance.write(os.path.join(rows.directory, HANDED), {"reload": reload.carry(), "began": began})
    os.kill(rows.master, RENEW)


def handed() -> tuple[Reload, float]:
    """Return what was handed over, and when it began."""
    rows = table()
    assert rows.directory is not None
    told = instance.load(os.path.join(rows.directory, HANDED))
    return Reload.resume(told["reload"], rows.systemd), told["began"]


def obstacle() -> str:
    """Return why the master cannot execute itself anew; empty where it can."""
    import uwsgi

    if table().routed:
        return "its router has the connections, and would be left behind: restart the server"
    directory = table().directory
    if directory is None or not os.access(os.path.join(directory, instance.BOARD), os.R_OK | os.W_OK):
        return "with preload there has to be the record that `serve` makes"
    others = _children(table().master).difference(worker["pid"] for worker in uwsgi.workers())
    if living := [str(pid) for pid in sorted(others) if instance.started(pid) is not None]:
        return f"the main process has children besides its workers (pid {', '.join(living)}): restart the server"
    for descriptor in before_fork.socket_descriptors() - listeners():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as sock:
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return f"the main process also listens at {sock.getsockname()!r}: restart the server"
    return ""


def _children(pid: int) -> set[int]:
    """Return the children that a process's own thread has; none where the kernel does not tell.

    Source: proc(5), /proc/pid/task/tid/children.
    """
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return {int(child) for child in file.read().split()}
    except OSError:
        return set()


def succeed(reload: Reload, began: float, again: bool) -> NoReturn:
    """Become the next master, with HELD blocked. Raises OSError where that cannot be, and has changed nothing then."""
    import uwsgi

    rows = table()
    # One in a spare slot has only asked for this, and goes.
    serving = [each for each in uwsgi.workers() if each["pid"] and not rows.is_spare(each["id"])]
    workers = [[each["pid"], rows.row(each["id"])] for each in serving]
    execute(Succession(reload.carry(), began, again, workers, _pipes()), reload)


def execute(succession: Succession, reload: Reload) -> NoReturn:
    """Run the new command in this process."""
    verdict = reload.verdict
    assert verdict is not None
    kept = {*succession.pipes, *listeners()}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the directory's own, which is closed by now
            os.set_inheritable(int(name), int(name) < 3 or int(name) in kept)
    environ = {**_start.environ, VARIABLE: json.dumps(succession._asdict())}
    verdict.apply(environ)
    os.chdir(_start.directory)
    os.execve(verdict.argv[0], _with_descriptors(verdict.argv), environ)


def listeners() -> set[int]:
    """Return the descriptors that this master was given to listen at."""
    return {int(word[5:]) for word in _listeners()}


def _listeners() -> list[str]:
    return [word for word in _start.words if word.startswith("fd://")]


def _with_descriptors(words: Sequence[str]) -> list[str]:
    """Return a command with descriptors in the place of addresses, which are in the same order."""
    result, left = list(words), _listeners()
    for at, word in enumerate(words):
        if word in FRONTS:
            result[at + 1] = left.pop(0)
    return result


def _pipes() -> list[int]:
    """Return both ends of the pipes by which the workers hear this master: sockets without a name."""
    before = _inherited.pipes if _inherited else ()
    found = []
    for descriptor in before_fork.socket_descriptors().difference(_foreign, before):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as sock:
            if sock.family == socket.AF_UNIX and sock.getsockname() == sock.getpeername() == "":
                found.append(descriptor)
    return found


class Elders:
    """Workers that are to go: those of the master that was here before, or of a server that stops."""

    def __init__(self, workers: Collection[Sequence[int]], pipes: Collection[int]) -> None:
        """`workers` are children of this process, each with its row; `pipes` are those of `Succession`."""
        self._pipes = pipes
        self._rows = [row for _, row in workers]
        self._processes = []
        for pid, _ in workers:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                self._processes.append(os.pidfd_open(pid))

    @classmethod
    def here(cls) -> Elders:
        """Return the workers of this master that serve."""
        import uwsgi

        rows = table()
        serving = [each for each in uwsgi.workers() if each["pid"] and rows.ready(each["id"]) == each["pid"]]
        return cls([(each["pid"], rows.row(each["id"])) for each in serving], _pipes())

    def __len__(self) -> int:
        return len(self._processes)

    def dismiss(self) -> None:
        """Tell them to finish what they have, and to go."""
        from .uwsgi_signals import LOOK

        for row in self._rows:
            table().board.leave(row)
        for pipe in self._pipes:  # at the other ends is nobody, or a master that passes it on
            with contextlib.suppress(OSError):
                os.write(pipe, bytes([LOOK]))

    def left(self) -> bool:
        """Return whether any is there still."""
        return len(select.select(self._processes, [], [], 0)[0]) < len(self._processes)

    def kill(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)

    def finish(self, limit_s: float) -> bool:
        """Dismiss them, and wait until they are gone; return whether that was within this time."""
        self.dismiss()
        end = time.monotonic() + limit_s
        while self.left() and time.monotonic() < end:
            time.sleep(POLL_S)
        return not self.left()

    def forget(self) -> None:
        """They are gone."""
        for row in self._rows:
            table().board.clear(row)
        for process in self._processes:
            os.close(process)
        forget()


def end_process(status: int) -> NoReturn:
    """End the master as uWSGI itself does, with all that it has put off until then."""
    import ctypes

    ctypes.CDLL(None).exit(status)
    raise AssertionError
