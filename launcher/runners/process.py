"""The life of a runner's process, from its sockets to its exit status."""

import importlib
import logging
import operator
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NoReturn, cast
from wsgiref.types import WSGIApplication

from ..address import Address
from ..errors import Exit, Finding, LaunchError
from ..sockets import bound_address, listen
from ..systemd import notify
from .arguments import Options, paths_to_unlink
from .files import pid_file, socket_files
from .identity import become
from .signals import Signals

LOGGERS = ("launcher", "waitress")

logger = logging.getLogger("launcher.runner")

Serve = Callable[[WSGIApplication, Sequence[socket.socket], Signals], int]
"""Serves until `Signals.stop` is set and what was in flight is done; returns how many connections it cut off."""


def run(options: Options, prepare: Callable[[], Serve]) -> NoReturn:
    """Open the sockets, write the pid file, give up rights, import the application, serve, and end the process.

    `prepare` comes first of all and may raise LaunchError. A SystemExit that the application's import raises
    becomes our exit, with its status.
    """
    undo = ExitStack()
    signals = Signals(last_act=undo.close)
    status: int = Exit.FINDINGS
    unfinished = 0
    try:
        with undo:
            signals.install()
            undo.enter_context(socket_files(paths_to_unlink(os.environ.pop("LAUNCHER_UNLINK", ""))))
            set_up_logging(options)
            serve = prepare()
            listeners = open_listeners(options, undo)
            undo.enter_context(pid_file(options.pid_file))
            set_title(options.process_name)
            if options.identity:
                become(options.identity, os.environ)
            application = import_application(options.application, signals)
            tell("READY=1")
            where = ", ".join(str(bound_address(listener)) for listener in listeners)
            logger.info("serving %s on %s", options.application, where)
            unfinished = serve(application, listeners, signals)
            status = Exit.FINE
    except LaunchError as error:
        print(f"serve: {error}", file=sys.stderr)
        status = error.status
    except SystemExit as stop:
        status = _status_of(stop)
    except Exception:
        traceback.print_exc()
    if unfinished:
        # What still runs would only be torn apart by the interpreter's own end.
        logger.warning("time is up: %d connections are cut off", unfinished)
        _end_now(status)
    _leave(status, signals.deadline(options.graceful_timeout))


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
    handler.setFormatter(logging.Formatter("%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"))
    for name in LOGGERS:
        named = logging.getLogger(name)
        named.setLevel(options.log_level.upper())
        named.addHandler(handler)
        named.propagate = False


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


def import_application(reference: str, signals: Signals) -> WSGIApplication:
    """Import `module:attribute`. Raises LaunchError (status 4), or SystemExit when told to stop meanwhile."""
    module, colon, attribute = reference.partition(":")
    if not (module and colon and attribute):
        raise LaunchError(_target_finding(f"'{reference}' is not of the form package.module:name"))
    signals.interrupts_import = True
    try:
        _exit_if_stopped(signals)
        application = operator.attrgetter(attribute)(importlib.import_module(module))
    except Exception as error:
        traceback.print_exc()
        raise LaunchError(_target_finding(f"{reference} cannot be imported: {error}")) from error
    finally:
        signals.interrupts_import = False
    if not callable(application):
        raise LaunchError(_target_finding(f"{reference} cannot be called: it is no WSGI application"))
    signals.reinstall()
    _exit_if_stopped(signals)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in LOGGERS:
            # logging.config switches off every logger that it was not told of.
            logging.getLogger(name).disabled = False
    return cast(WSGIApplication, application)


def _target_finding(message: str) -> Finding:
    return Finding("target-refused", message, status=Exit.TARGET)


def _exit_if_stopped(signals: Signals) -> None:
    if signals.stop:
        raise SystemExit(0)


def tell(line: str) -> None:
    """Tell systemd, if it asked; a server does not fail because nobody listened."""
    try:
        notify(line, environ=os.environ)
    except OSError as error:
        logger.warning("cannot send %s to NOTIFY_SOCKET: %s", line, error.strerror)


def stopping(signals: Signals) -> None:
    """Say that the server has begun to stop."""
    logger.info("stopping on %s", signal.Signals(signals.stop).name)
    tell("STOPPING=1")


def _status_of(stop: SystemExit) -> int:
    """Return the exit status that Python itself would give."""
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code
    print(stop.code, file=sys.stderr)
    return 1


def _leave(status: int, deadline: float) -> NoReturn:
    """End the process the usual way, or at `deadline` (monotonic) though the application left threads behind."""

    def watch() -> None:
        time.sleep(max(0.0, deadline - time.monotonic()))
        _end_now(status)

    threading.Thread(target=watch, daemon=True).start()
    sys.exit(status)


def _end_now(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # whoever read it has gone
    os._exit(status)
