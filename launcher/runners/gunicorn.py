"""gunicorn's configuration module: `--config python:launcher.runners.gunicorn`. Hooks, and two settings."""

import json
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from html import escape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..errors import Exit
from ..sockets import UNLINK, paths_to_unlink
from . import streams
from .files import record, socket_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket
    from ssl import SSLContext

    from gunicorn.config import Config

    from .gthread import Worker
    from .gunicorn_arbiter import Arbiter

VARIABLE = "LAUNCHER_GUNICORN"
"""Environment variable with a JSON object: what gunicorn has no flag for. An absent key leaves it to gunicorn."""

# Whoever comes by a unix socket could say so what path was asked for, and by which scheme (27.0.1).
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

_context: "SSLContext | None" = None


def parameters() -> dict[str, Any]:
    """Read `VARIABLE`: request_timeout, client_timeout, drain_delay, max_worker_age (seconds), max_worker_memory
    (bytes), initgroups_user, log_file."""
    values: dict[str, Any] = json.loads(os.environ.get(VARIABLE) or "{}")
    return values


def nworkers_changed(server: "Arbiter", new: int, old: int | None) -> None:
    """Send messages where they are wanted: of gunicorn's hooks this alone runs before its first message."""
    if old is None and parameters().get("log_file") == "-":
        os.dup2(1, 2)  # to gunicorn, `-` is standard error


def pre_fork(server: "Arbiter", worker: "Worker") -> None:
    """Give a worker its row."""
    server.give_place(worker)


def post_fork(server: "Arbiter", worker: "Worker") -> None:
    """Give a worker what gunicorn 27.0.1 forgets of its user: all groups, and HOME.

    Its `initgroups` leaves the worker in group 0; without, it is in no supplementary group.
    """
    worker.place.enter()
    if (name := parameters().get("initgroups_user")) is not None and os.geteuid() == 0:
        import pwd

        account = pwd.getpwnam(name)
        os.initgroups(name, server.cfg.gid or account.pw_gid)
        os.environ.update(HOME=account.pw_dir, USER=name, LOGNAME=name)


def child_exit(server: "Arbiter", worker: "Worker") -> None:
    """Take back the row of a worker."""
    server.take_place(worker)


def ssl_context(config: "Config", default: "Callable[[], SSLContext]") -> "SSLContext":
    """Read the files once for each worker, and let TLS connections have time limits too.

    gunicorn 27.0.1 would read them for each connection, and a renewal that is half done would turn everybody away.
    """
    global _context
    if _context is None:
        from .gunicorn_client import TLSSocket

        _context = default()
        _context.sslsocket_class = TLSSocket
    return _context


def write_error(sock: "socket", status: int, reason: str, message: str) -> None:
    """Answer a request that failed, with gunicorn's own page."""
    from gunicorn.util import write_nonblock

    page = (
        f"<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n"
        f"  <body>\n    <h1><p>{reason}</p></h1>\n    {escape(message)}\n  </body>\n</html>\n"
    ).encode("latin1", "replace")
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: {len(page)}"
    write_nonblock(sock, f"{head}\r\n\r\n".encode("latin1") + page)


def amend() -> None:
    """Put ours in the place of what gunicorn 27.0.1 has otherwise."""
    from gunicorn import arbiter, util
    from gunicorn.app import base

    from .gunicorn_arbiter import Arbiter

    names: Any = base  # the module of the application's base class names the arbiter
    names.Arbiter = Arbiter
    # It waits for workers that stop by the wall clock, which may be set meanwhile.
    names = arbiter
    names.time = SimpleNamespace(**{**vars(time), "time": time.monotonic})
    # By textwrap.dedent, which takes the carriage return from the end of a head on Python 3.14.
    names = util
    names.write_error = write_error


def main() -> None:
    """Run gunicorn, with `launcher` imported before gunicorn puts the project's directory first on sys.path.

    A package of that name in the project cannot take our place then.
    """
    os.environ.pop("GUNICORN_CMD_ARGS", None)
    from gunicorn.app.wsgiapp import run

    from .. import instance

    amend()
    pid = os.getpid()
    with ExitStack() as files:
        files.enter_context(record(os.environ.get(instance.VARIABLE)))
        files.enter_context(socket_files(paths_to_unlink(os.environ.get(UNLINK, ""))))
        try:
            # With preload it loads the application before it listens to signals.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            run(prog="gunicorn")
        except KeyboardInterrupt:
            sys.exit(0)
        except SystemExit as end:
            if os.getpid() == pid and threading.active_count() > 1:
                # Of an application that was loaded here; the interpreter's own end would wait for them.
                files.close()
                streams.flush()
                os._exit(end.code if isinstance(end.code, int) else Exit.FINDINGS)
            raise


if __name__ == "__main__":
    main()
