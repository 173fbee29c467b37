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


def main() -> None:
    """Never return: uWSGI ends in exit(3)."""
    told = json.loads(os.environ.pop("LAUNCHER_UWSGI", "") or "{}")
    if "log_file" in told:
        send_messages_to(told["log_file"])
    if "user" in told and os.geteuid() == 0:
        os.environ.update(variables_of(told["user"]))
    os.register_at_fork(after_in_child=_forget_the_masters_handlers)
    passed = [path for path in os.environ.pop("LAUNCHER_UNLINK", "").split(os.pathsep) if path]
    # --vacuum leaves sockets alone that uWSGI did not bind.
    hooks = [word for path in passed for word in ("--hook-as-user-atexit", f"unlink:{path}")]
    pyuwsgi.run([*hooks, *sys.argv[1:]])


if __name__ == "__main__":
    main()
