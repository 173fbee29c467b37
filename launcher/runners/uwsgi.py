"""Run uWSGI in this process: `python -P -m launcher.runners.uwsgi <uWSGI options>`.

`pyuwsgi.run` never returns, and answers for the exit status. The caller passes `--binary-path`: without it
uWSGI starts the base interpreter, not the virtual environment's, when it re-executes itself.

`-m` has imported the package `launcher` before uWSGI puts "." and "" in front of `sys.path`, and workers are
forked from here, so a package of that name in the project does not shadow this one in any worker.
"""

import itertools
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pyuwsgi

from ..application import DEVELOP
from ..develop.channel import server_log
from ..sockets import UNLINK, paths_to_unlink
from . import uwsgi_master, uwsgi_router, uwsgi_succession
from .uwsgi_streams import set_messages_apart
from .uwsgi_table import Table, share

if TYPE_CHECKING:
    from pwd import struct_passwd

ENDED = 30
"""Exit status of a worker that was told to end. Source: UWSGI_END_CODE in uwsgi.h, uWSGI 2.0.30."""

FOR_THE_MASTER = (
    signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGILL, signal.SIGURG, signal.SIGCHLD, signal.SIGCONT
)  # fmt: skip
"""Signals for which it has a handler."""

PID_FILE, VACUUM = "--pidfile", "--vacuum"

NO_PIPE = (-1, -1)

_master = os.getpid()
_pipe = NO_PIPE
_blocked: set[int] = set()


def main() -> None:
    """Do what uWSGI has no word for, and become it.

    LAUNCHER_UWSGI is a JSON object: `log_file` (a path, or `-` for standard output), `user`, whose variables are set,
    `drain_delay` in seconds, and `max_request_line` in bytes. UNLINK names unix sockets that the caller bound and
    leaves to us.
    """
    succession = uwsgi_succession.inherit()
    told = json.loads(os.environ.pop("LAUNCHER_UWSGI", "") or "{}")
    if succession is None:
        if "log_file" in told:
            send_messages_to(told["log_file"])
        elif DEVELOP in os.environ:
            set_messages_apart(os.path.join(os.environ[DEVELOP], server_log(_master)))
    if "user" in told and os.geteuid() == 0:
        os.environ.update(variables_of(told["user"]))
    uwsgi_succession.note_start()
    for descriptor in uwsgi_succession.listeners():
        # A program that the application starts, and that outlives the server, would keep the address.
        os.set_inheritable(descriptor, False)
    routed = "--http" in sys.argv
    if not routed:
        accept_only_who_speaks(sys.argv)
    workers, slots = number_after("--cheaper", sys.argv, 1), number_after("--processes", sys.argv, 1)
    # 60 seconds is uWSGI's own mercy.
    grace_s = number_after("--worker-reload-mercy", sys.argv, 60)
    delay_s, max_line = told.get("drain_delay") or 0.0, told.get("max_request_line")
    rows = share(Table(workers, slots, grace_s, os.environ, delay_s, routed, max_line))
    if succession:
        rows.succeed(succession.reload["generation"], uwsgi_succession.first_row(slots))
    os.register_at_fork(before=_hold_signals_back, after_in_parent=_tell_the_worker, after_in_child=_begin_as_worker)
    passed = paths_to_unlink(os.environ.pop(UNLINK, ""))
    # uWSGI leaves sockets alone that it did not bind.
    hooks = [word for path in passed for word in ("--hook-as-user-atexit", f"unlink:{path}")]
    if rows.directory:
        hooks += ["--hook-as-user-atexit", f"exec:rm -rf {shlex.quote(rows.directory)} 2>/dev/null"]
    last = uwsgi_master.prepare(preload="--lazy-apps" not in sys.argv)
    if routed:
        hooks += uwsgi_router.prepare(sys.argv, rows.directory, user_id(told.get("user")))
    pyuwsgi.run([*hooks, *words_of(sys.argv, first=succession is None), *last])


def words_of(argv: Sequence[str], *, first: bool) -> list[str]:
    """Return the words for uWSGI, with a hook in the place of --vacuum where sockets are passed in.

    uWSGI 2.0.30 would complain of their files, which are gone, and leave the one with the process id where it becomes
    another user. Only the first master writes that: as root no more the next might not be able to.
    """
    words = list(argv[1:])
    if VACUUM in words and uwsgi_succession.listeners():
        words.remove(VACUUM)
        if PID_FILE in words:
            at = words.index(PID_FILE)
            words += ("--hook-as-user-atexit", f"unlink:{words[at + 1]}")
            if not first:
                del words[at : at + 2]
    return words


def number_after(flag: str, words: Sequence[str], otherwise: int) -> int:
    """Return the number that follows the last such flag."""
    found = [word for before, word in itertools.pairwise(words) if before == flag]
    return int(found[-1]) if found else otherwise


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
    account = account_of(user)
    return {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name} if account else {}


def user_id(user: str | None) -> int:
    """Return the number of the user whom uWSGI is to become, -1 where it stays who it is."""
    if not user or os.geteuid() != 0:
        return -1
    account = account_of(user)
    return account.pw_uid if account else int(user)


def account_of(user: str) -> "struct_passwd | None":
    """Return what is known of a user, who may have a number and no name."""
    import pwd

    try:
        return pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        return None


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


# The hooks below run around every fork of a worker because of --py-call-uwsgi-fork-hooks. The master of uWSGI 2.0.30
# notes the pid of a worker a little after the fork. A signal to stop in between passes this worker by, and as a
# second one is ignored, the server never ends. So signals and our thread wait meanwhile, and a pipe tells the worker.


def _hold_signals_back() -> None:
    global _pipe, _blocked
    if os.getpid() == _master:
        if _pipe == NO_PIPE:
            from . import uwsgi_signals  # only now is there the module `uwsgi` that it needs

            uwsgi_signals.register()
            uwsgi_master.hold_early()
        uwsgi_master.begin_fork()
        _blocked = signal.pthread_sigmask(signal.SIG_BLOCK, uwsgi_succession.HELD)
        _pipe = os.pipe()


def _tell_the_worker() -> None:
    if os.getpid() == _master:
        stopping = uwsgi_master.ending() or signal.SIGINT in signal.sigpending()
        os.write(_pipe[1], b"" if stopping else b"live")
        os.close(_pipe[0])
        os.close(_pipe[1])
        signal.pthread_sigmask(signal.SIG_SETMASK, _blocked)
        uwsgi_master.end_fork()


def _begin_as_worker() -> None:
    """End a worker that is born while the master stops; let signals end one that is loading the application.

    Until the application is loaded a worker has the handlers of the master: they would note a signal in the
    worker's own copy of the state, where nobody looks, and a stop would wait for --worker-reload-mercy.
    """
    if os.getppid() == _master:
        for number in FOR_THE_MASTER:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)  # it is the master's
        signal.pthread_sigmask(signal.SIG_UNBLOCK, uwsgi_succession.HELD)
        os.close(_pipe[1])
        if not os.read(_pipe[0], 4):
            os._exit(ENDED)
        os.close(_pipe[0])


if __name__ == "__main__":
    main()
