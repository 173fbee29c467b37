"""The life of a runner's main process, from its sockets to its exit status: it is the supervisor of its workers."""

import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NoReturn

from .. import instance
from ..address import Address
from ..application import DEVELOP
from ..errors import Exit, Finding, LaunchError
from ..loading import WAITING_S
from ..sockets import SOCKETS_OURS, SOCKETS_STAY, UNLINK, bound_address, listen, paths_to_unlink
from ..supervise.supervisor import Supervisor
from ..supervise.terms import MOST_DEATHS, Terms
from ..supervise.trade import Trade
from . import worker
from .arguments import Options
from .files import pid_file, record, socket_files
from .identity import become, take_up_root
from .signals import QUICK, RETIRE
from .worker import LOGGERS, Prepare, Service, set_log_level

SIGNALS = {"retire": RETIRE, "stop": signal.SIGTERM, "quick": QUICK, "kill": signal.SIGKILL}

logger = logging.getLogger("launcher.runner")


def run(read: Callable[[Sequence[str]], Options], prepare: Prepare, argv: Sequence[str]) -> NoReturn:
    """Open the sockets, write the pid file, give up rights, supervise workers, and end the process.

    `read` reads the flags; `prepare` is called in each worker.
    """
    options = read(argv)
    undo = ExitStack()
    status: int = Exit.FINDINGS
    try:
        with undo:
            undo.enter_context(record(os.environ.get(instance.VARIABLE)))
            undo.enter_context(socket_files(paths_to_unlink(os.environ.pop(UNLINK, ""))))
            set_up_logging(options)
            listeners = open_listeners(options, undo)
            undo.enter_context(pid_file(options.pid_file))
            set_title(options.process_name)
            if options.identity:
                become(options.identity, os.environ)
                undo.callback(take_up_root)  # what is in root's directories is to be removed
            stay = bool(os.environ.pop(SOCKETS_STAY, ""))
            service = Service(listeners, stay, _sockets_are_ours(options), prepare)
            status = _supervisor(options, read, service).run()
    except LaunchError as error:
        print(f"serve: {error}", file=sys.stderr)
        status = error.status
    except Exception:
        traceback.print_exc()
    sys.exit(status)


def _supervisor(options: Options, read: Callable[[Sequence[str]], Options], service: Service) -> Supervisor[Options]:
    watchdog = _watchdog_s()
    # In development the next try is that of the next edit, and a worker may wait for long until it is to load anything.
    most_deaths, start_timeout = (1, 0.0) if DEVELOP in os.environ else (MOST_DEATHS, WAITING_S)
    trade = Trade(
        live=lambda post, told: worker.live(post, told, service),
        load=lambda post, told: worker.load_once(post, told, service),
        read=read,
        adopt=lambda told: set_log_level(told.log_level),
        terms=lambda told: Terms(
            told.workers,
            told.graceful_timeout,
            told.drain_delay,
            told.worker_timeout,
            watchdog,
            most_deaths,
            start_timeout,
        ),
        shut=service.shut,
        preload=options.preload,
        signals=SIGNALS,
    )
    where = ", ".join(str(bound_address(listener)) for listener in service.listeners)
    return Supervisor(trade, options, service.listeners, f"{options.application} on {where}")


def _sockets_are_ours(options: Options) -> bool:
    """Return whether nobody else may go on listening at our sockets."""
    opened_here = bool(options.bind) and all(address.kind != "fd" for address in options.bind)
    return opened_here or bool(os.environ.pop(SOCKETS_OURS, ""))


def _watchdog_s() -> float:
    """Return how often the service manager wants to hear of us, in seconds. Source: sd_watchdog_enabled(3)."""
    text, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    return int(text) / 1e6 if text.isdecimal() and pid in ("", str(os.getpid())) else 0.0


def set_up_logging(options: Options) -> None:
    """Send our messages and waitress's where the options say; the application's own are its own business."""
    try:
        if options.log_file is None or options.log_file == "-":
            handler: logging.Handler = logging.StreamHandler(sys.stdout if options.log_file else sys.stderr)
        else:
            handler = logging.FileHandler(options.log_file)
    except OSError as error:
        message = f"cannot write the log file {options.log_file}: {error.strerror}"
        raise LaunchError(Finding("log-file-refused", message, status=Exit.SERVER)) from error
    # With the zone: Django sets that of the site in workers, and in them alone.
    form = "%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"
    handler.setFormatter(logging.Formatter(form, "%Y-%m-%d %H:%M:%S %z"))
    for name in LOGGERS:
        named = logging.getLogger(name)
        named.addHandler(handler)
        named.propagate = False
    set_log_level(options.log_level)


def open_listeners(options: Options, undo: ExitStack) -> list[socket.socket]:
    """Listen on every address, and leave to `undo` what is to be closed and removed.

    Raises LaunchError, exit status 7.
    """
    listeners = []
    for address in options.bind or [Address("fd", fd=number) for number in options.fd]:
        opened = listen(address, backlog=options.backlog, rights=options.rights, reuse_port=options.reuse_port)
        listener = socket.socket(fileno=opened.detach())
        undo.callback(listener.close)
        if address.kind == "fd":
            # `listen` has made a copy. While the original is open, nobody would be refused when we close ours.
            os.close(address.fd)
        elif address.kind == "unix" and not address.abstract:
            undo.enter_context(socket_files([address.path]))
        listeners.append(listener)
    return listeners


def set_title(name: str | None) -> None:
    """Show `name` in the list of processes."""
    if name is None:
        return
    try:
        from setproctitle import setproctitle
    except ImportError:
        logger.warning("the process keeps its title: --process-name %s needs setproctitle", name)
    else:
        setproctitle(name)
