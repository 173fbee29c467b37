"""Run uWSGI in this process: `python -P -m launcher.runners.uwsgi <uWSGI options>`.

`pyuwsgi.run` never returns, and answers for the exit status. The caller passes `--binary-path`: without it
uWSGI starts the base interpreter, not the virtual environment's, when it re-executes itself.

`-m` has imported the package `launcher` before uWSGI puts "." and "" in front of `sys.path`, and workers are
forked from here, so a package of that name in the project does not shadow this one in any worker.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterable

import pyuwsgi

_master = os.getpid()


def main() -> None:
    """Do what uWSGI has no word for, and become it.

    LAUNCHER_UWSGI is a JSON object: `log_file` (a path, or `-` for standard output) and `user`, whose variables
    are set. LAUNCHER_UNLINK names unix sockets that the caller bound and leaves to us.
    """
    told = json.loads(os.environ.pop("LAUNCHER_UWSGI", "") or "{}")
    if "log_file" in told:
        send_messages_to(told["log_file"])
    if "user" in told and os.geteuid() == 0:
        os.environ.update(variables_of(told["user"]))
    accept_only_who_speaks(sys.argv)
    os.register_at_fork(after_in_child=_drop_handlers_of_the_master)
    passed = [path for path in os.environ.pop("LAUNCHER_UNLINK", "").split(os.pathsep) if path]
    # --vacuum leaves sockets alone that uWSGI did not bind.
    hooks = [word for path in passed for word in ("--hook-as-user-atexit", f"unlink:{path}")]
    pyuwsgi.run([*hooks, *sys.argv[1:]])


def send_messages_to(log_file: str) -> None:
    """Point standard error, where uWSGI's messages go, to a file or to standard output.

    Its own --logto (uWSGI 2.0.30) takes standard output along, and with it the access log.
    """
    if log_file == "-":
        os.dup2(1, 2)
        return
    try:
        fd = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    except OSError as error:
        raise SystemExit(f"serve: cannot write the log file {log_file}: {error.strerror}.") from None
    os.dup2(fd, 2)
    os.close(fd)


def variables_of(user: str) -> dict[str, str]:
    """Return what a login would set for a user that uWSGI is to become; it changes no variable."""
    import pwd

    try:
        account = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        return {}
    return {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}


def accept_only_who_speaks(words: Iterable[str], seconds: int = 4) -> None:
    """Let the kernel keep TCP connections that have not sent a byte.

    uWSGI 2.0.30 asks for this on sockets it opens itself, not on inherited ones: there every idle connection
    (browsers open some ahead of need) would hold a thread until --socket-timeout.
    """
    for word in words:
        if word.startswith("fd://"):
            with socket.socket(fileno=os.dup(int(word[5:]))) as listener:
                if listener.family != socket.AF_UNIX:
                    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, seconds)


def _drop_handlers_of_the_master() -> None:
    """Let a signal end a worker that is still loading the application.

    Until the application is loaded a worker of uWSGI 2.0.30 has the master's handlers: they note the signal in
    the worker's own copy of the state, it is lost, and a stop waits for --worker-reload-mercy. Runs in workers
    because of --py-call-uwsgi-fork-hooks; processes that a worker forks keep what the worker has set.
    """
    if os.getppid() == _master:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()
