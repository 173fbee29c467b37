"""The life of one worker, from its fork to its exit status."""

import importlib
import logging
import operator
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn, cast
from wsgiref.types import WSGIApplication

from ..application import DEVELOP
from ..errors import Exit, Finding, LaunchError
from ..loading import in_time
from ..supervise.notices import Post, has_the_word
from . import before_fork, door, streams
from .arguments import Options
from .duties import Duties
from .signals import QUICK, Signals

LOGGERS = ("launcher", "waitress")
"""Of the messages that go where the options say; the application's own are its own business."""

logger = logging.getLogger("launcher.runner")

Serve = Callable[[WSGIApplication, Sequence[socket.socket], Signals, Duties], int]
"""Serves until `Signals.stop` is set and what was in flight is done; returns how many connections it cut off."""
Prepare = Callable[[Options], Serve]
"""Imports the server; raises LaunchError where it refuses its options."""


class Service(NamedTuple):
    """What all workers of a server have in common."""

    listeners: Sequence[socket.socket]
    sockets_stay: bool
    """Whether somebody else holds the listening sockets, and has what the kernel accepts answered after us."""
    ours: bool
    """Whether nobody else may go on listening at them."""
    prepare: Prepare

    def shut(self) -> None:
        """Let nobody in any more: the server is to end."""
        if self.ours:
            for listener in self.listeners:
                door.shut(listener)


def live(post: Post, options: Options, service: Service) -> NoReturn:
    """Be a worker: load the application, serve, and end the process."""
    signals = Signals(post.lifeline, service.sockets_stay, service.shut)

    def work() -> int:
        _begin(post, options, signals)
        return _serve(post, options, service, signals, _load(options, signals, service.prepare))

    _end(*_outcome(work), signals, options)


def load_once(post: Post, options: Options, service: Service) -> Callable[[Post], NoReturn]:
    """Load the application in a process that workers are forked from; return what they are to do."""
    signals = Signals(post.lifeline, service.sockets_stay, service.shut)
    own = before_fork.socket_descriptors()
    loaded: list[tuple[WSGIApplication, Serve]] = []

    def load() -> int:
        attend(signals)
        set_log_level(options.log_level)
        loaded.append(_load(options, signals, service.prepare))
        before_fork.make_ready(own)
        return 0

    status, _ = _outcome(load)
    if status or not loaded:
        _end(status, 0, signals, options)
    return lambda place: _live_loaded(place, options, service, loaded[0])


def _live_loaded(post: Post, options: Options, service: Service, loaded: tuple[WSGIApplication, Serve]) -> NoReturn:
    signals = Signals(post.lifeline, service.sockets_stay, service.shut)

    def work() -> int:
        _begin(post, options, signals)
        return _serve(post, options, service, signals, loaded)

    _end(*_outcome(work), signals, options)


def _begin(post: Post, options: Options, signals: Signals) -> None:
    post.board.enter(post.row, os.getpid(), post.generation)
    set_log_level(options.log_level)
    attend(signals)


def _load(options: Options, signals: Signals, prepare: Prepare) -> tuple[WSGIApplication, Serve]:
    serve = prepare(options)
    with in_time():
        return import_application(options.application, signals), serve


def _serve(
    post: Post,
    options: Options,
    service: Service,
    signals: Signals,
    loaded: tuple[WSGIApplication, Serve],
) -> int:
    application, serve = loaded
    _exit_if_stopped(signals)
    duties = Duties(post, options)
    duties.ready()
    return serve(application, service.listeners, signals, duties)


def _outcome(work: Callable[[], int]) -> tuple[int, int]:
    """Return the exit status of what is done, and how many connections it cut off.

    A SystemExit that the application's import raises becomes our exit, with its status.
    """
    try:
        return Exit.FINE, work()
    except LaunchError as error:
        if has_the_word():
            print(f"serve: {error}", file=sys.stderr)
        return error.status, 0
    except SystemExit as stop:
        return _status_of(stop), 0
    except Exception:
        traceback.print_exc()
        return Exit.FINDINGS, 0


def set_log_level(level: str) -> None:
    for name in LOGGERS:
        logging.getLogger(name).setLevel(level.upper())


def attend(signals: Signals) -> None:
    """Listen to signals: our parent has blocked them for us to miss none."""
    signals.install()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


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
    orphaned, _, _ = select.select([signals.lifeline], [], [], 0)
    if signals.stop or orphaned:
        raise SystemExit(0)


def _status_of(stop: SystemExit) -> int:
    """Return the exit status that Python itself would give."""
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code
    print(stop.code, file=sys.stderr)
    return 1


def _end(status: int, unfinished: int, signals: Signals, options: Options) -> NoReturn:
    """End the process the usual way, or when its time is up though the application left threads behind."""
    if unfinished:
        # What still runs would only be torn apart by the interpreter's own end.
        if not (DEVELOP in os.environ and signals.stop == QUICK):  # Ctrl-C means that
            logger.warning("time is up: %d connections are cut off", unfinished)
        _end_now(status)
    deadline = signals.deadline(options.graceful_timeout)

    def watch() -> None:
        time.sleep(max(0.0, deadline - time.monotonic()))
        _end_now(status)

    threading.Thread(target=watch, daemon=True).start()
    sys.exit(status)


def _end_now(status: int) -> NoReturn:
    streams.flush()
    os._exit(status)
