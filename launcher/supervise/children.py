"""Child processes, as the kernel tells their parent of them."""

import os
import signal
from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Become the parent of a process whose own parent ends: prctl(2). Raises OSError."""
    import ctypes  # a supervisor without preload has no need of it

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


class CannotFork(Exception):
    """There is no room for another process."""


def fork() -> int:
    """Fork; in the child all signals are blocked. Raises CannotFork."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = -1
    try:
        pid = os.fork()
    except OSError as error:
        raise CannotFork(f"cannot make a process: {error.strerror}") from error
    finally:
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return pid


def ended() -> Iterator[tuple[int, int]]:
    """Yield each child that has ended, with its exit status or the negative number of the signal that ended it."""
    while True:
        try:
            pid, raw = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(raw)


def await_end(*pids: int) -> None:
    """Wait until these children have ended; `ended` yields them still."""
    for pid in pids:
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass


def how_it_ended(status: int) -> str:
    """Return a clause about a process that has ended with such a status."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
