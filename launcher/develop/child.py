"""Become a server, in a process that the development loop has made: `python -P -m launcher.develop.child WORDS...`."""

from __future__ import annotations

import atexit
import ctypes
import os
import runpy
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
"""prctl(2)."""
INTERPRETER_WORDS = ("-P", "-m")
LOWEST = 19
"""nice(2)."""


def become(argv: Sequence[str]) -> None:
    """Run a native command in this process: a module without starting Python again, another program by exec."""
    # The loop is our parent; nobody else would stop us if it were killed.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # The last thing before an interpreter's own end, which takes as long as the import that the next server begins.
    atexit.register(os.nice, LOWEST)
    if "LISTEN_FDS" in os.environ:
        os.environ["LISTEN_PID"] = str(os.getpid())
    # Blocked since the loop made us, or our template: a terminal sends it to everybody, and the loop ends them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    program, *words = argv
    if program != sys.executable or tuple(words[:2]) != INTERPRETER_WORDS:
        os.execve(program, list(argv), os.environ)
    sys.argv[1:] = words[3:]
    sys.modules.pop(words[2], None)  # a template may hold it under its own name: as the program it begins anew
    runpy.run_module(words[2], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    become(sys.argv[1:])
