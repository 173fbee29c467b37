"""What uWSGI imports: `launcher.runners.uwsgi_worker:application`, in every worker that it starts.

A worker in one of the first slots serves, whatever happened to the one before it. One in a spare slot was asked for by
SIGHUP: it serves once its code is proven, until all others have been replaced (see launcher.runners.uwsgi_reload).
"""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

import uwsgi

from ..application import ApplicationError, load
from ..loading import EXTENDED, in_time
from . import uwsgi_preload, uwsgi_reload, uwsgi_streams, uwsgi_succession
from .uwsgi_answer import for_uwsgi
from .uwsgi_preload import Interrupted, interruptible
from .uwsgi_succession import FAILED
from .uwsgi_table import table

if TYPE_CHECKING:
    from typing import NoReturn
    from wsgiref.types import WSGIApplication

GO_CHEAP = 15
"""Exit status of a worker that is not to be replaced. Source: UWSGI_GO_CHEAP_CODE in uwsgi.h, uWSGI 2.0.30."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
"""Between attempts to replace a worker whose successors cannot load the application."""
POLL_S = 0.05

DIED = re.compile(r"^DAMN ! worker .* killed by signal (\d+) |^!!! uWSGI process \d+ got Segmentation", re.MULTILINE)
"""uWSGI 2.0.30; of one that exits it tells no status."""
LAST_LINES = 200
"""A backtrace is among them."""

MASTER = 0


def start() -> WSGIApplication:
    """Load the application, and let no error reach uWSGI, which would end all workers with this one.

    Such an error is ours: a file of the instance that cannot be read, a package that was upgraded under its master.
    """
    try:
        return load_as_worker()
    except (Interrupted, KeyboardInterrupt):
        uwsgi_preload.stop()
    except Exception as error:
        import traceback

        slot, trace = uwsgi.worker_id(), traceback.format_exc()
        if not table().served:
            give_up(ApplicationError(f"a worker cannot start: {error}.", trace))
        uwsgi_streams.say(f"a worker cannot start: {error}")
        if table().is_spare(slot):
            leave(slot)
        time.sleep(FIRST_PAUSE_S)
        os._exit(FAILED)


def load_as_worker() -> WSGIApplication:
    """Load the application into this worker; end the worker where that cannot or need not be."""
    slot = uwsgi.worker_id()
    uwsgi_streams.restore()
    if slot == MASTER:
        return preload()
    uwsgi_succession.forget()
    if table().is_spare(slot) and not (table().take(slot) and uwsgi_reload.begin(slot)):
        leave(slot)
    failed = table().begin(slot)
    if not table().served:
        table().tell(EXTENDED)
    if failed and not table().served:
        give_up(_sudden_end())
    if failed:
        time.sleep(min(FIRST_PAUSE_S * 2 ** (failed - 1), LONGEST_PAUSE_S))
    try:
        with in_time():
            application = load(os.environ)
    except ApplicationError as error:
        if not table().served:
            give_up(error)
        from ..user_code import tell

        tell(error)
        if table().is_spare(slot):
            leave(slot)
        os._exit(FAILED)
    table().set_ready(slot)
    return _answering(application)


def _answering(application: WSGIApplication) -> WSGIApplication:
    routed, max_line = table().routed, table().max_line
    http = routed or "http-socket" in uwsgi.opt
    routes = any(name.startswith(("route", "error-route", "final-route")) for name in uwsgi.opt)
    return for_uwsgi(application, lambda: table().draining, routed=routed, http=http, routes=routes, max_line=max_line)


def _sudden_end() -> ApplicationError:
    """Return what is said of the worker that was in this slot before: how it ended stands in uWSGI's log alone."""
    from ..develop.channel import Channel, server_log

    channel = Channel.of(os.environ)
    found = DIED.findall(channel.last_lines(server_log(table().master), LAST_LINES)) if channel is not None else []
    if found:
        from ..user_code import sudden_end

        return sudden_end(-int(found[-1] or signal.SIGSEGV))
    return ApplicationError("a worker ended while it loaded the application.")


def preload() -> WSGIApplication:
    """Load the application into the master, for workers to be born with it."""
    from . import before_fork

    own = before_fork.socket_descriptors()
    try:
        with interruptible():
            application = load(os.environ)
    except ApplicationError as error:
        if uwsgi_succession.inherited():
            uwsgi_preload.try_again(error)
        from ..user_code import tell

        tell(error)
        uwsgi_succession.end_process(FAILED)
    uwsgi_succession.note_foreign(before_fork.socket_descriptors() - own)
    before_fork.make_ready(own, uwsgi_streams.say)
    theirs = getattr(uwsgi, "post_fork_hook", None)

    def begin() -> None:
        slot = uwsgi.worker_id()
        if table().is_spare(slot):
            leave(slot)  # the main process was to execute itself instead
        uwsgi_succession.forget()
        table().begin(slot)
        table().set_ready(slot)
        if theirs is not None:
            theirs()

    uwsgi.post_fork_hook = begin
    return _answering(application)


def leave(slot: int) -> NoReturn:
    """End a worker for good."""
    table().leave(slot)
    os._exit(GO_CHEAP)


def give_up(error: ApplicationError) -> NoReturn:
    """End the whole server: nothing of it has ever served. One worker speaks for all; they end with the master."""
    # Whoever had the claim ends with the master, and another one could have it then.
    if table().claim_failure() and os.getppid() == table().master:
        from ..user_code import tell

        tell(error)
        os.kill(table().master, FAILED)
    while os.getppid() == table().master:
        time.sleep(POLL_S)
    os._exit(FAILED)


application = start()
