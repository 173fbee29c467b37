"""Run pyuwsgi in this process: `python -P -m launcher.runners.uwsgi <uWSGI options>`."""

import json
import os
import signal
import sys

import pyuwsgi

_master = os.getpid()


def _forget_the_masters_handlers() -> None:
    # A worker is born with the master's handlers: until uWSGI sets its own, a signal would be lost on it.
    if os.getppid() == _master:
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


def main() -> None:
    """Never return: uWSGI ends in exit(3)."""
    told = json.loads(os.environ.pop("LAUNCHER_UWSGI", "") or "{}")
    if told.get("log_file") == "-":
        os.dup2(1, 2)  # uWSGI's own messages go to standard error, and it has no word for standard output
    os.register_at_fork(after_in_child=_forget_the_masters_handlers)
    passed = [path for path in os.environ.pop("LAUNCHER_UNLINK", "").split(os.pathsep) if path]
    # --vacuum leaves sockets alone that uWSGI did not bind.
    hooks = [word for path in passed for word in ("--hook-as-user-atexit", f"unlink:{path}")]
    pyuwsgi.run([*hooks, *sys.argv[1:]])


if __name__ == "__main__":
    main()
