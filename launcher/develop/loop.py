"""The parent of a server in development: it holds the sockets, and has the code served that is on disk.

A request that comes while nothing serves waits in the kernel's backlog for the server that is about to.
"""

from __future__ import annotations

import math
import os
import select
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import LaunchError
from ..supervise.children import become_subreaper, ended, how_it_ended
from .channel import FAILURE, LEARNT, STALE, Channel, server_log
from .failures import failure, refused
from .leaving import Leaving, send
from .project import Project
from .stock import Stock
from .terminal import failure_text
from .terms import Running, Terms
from .tty import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .news import News
    from .stock import Order

SLOW_S = 5.0
"""A start that takes longer is spoken of."""
SETTLE_AFTER_S = 0.1
"""When a server that is ready is looked into, and the next one made to stand by: first somebody has his answer."""
CHECK_AFTER_S = 1.0
"""Django's checks wait so long for another edit."""
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.32
"""How long a burst of changes is let go on before the next start, once it has overtaken a start."""
LAST_LINES = 20
"""What is shown of the log of a server that ended without a word of ours."""
STEADY_S = 5.0
"""A server that ends by itself is started again at once, unless the one before it did so too, no longer ago."""


class Loop:
    """One `serve` that develops."""

    def __init__(
        self,
        terms: Terms,
        channel: Channel,
        descriptors: Sequence[int],
        replan: Callable[[], Terms],
        news: News,
    ) -> None:
        self._terms = terms
        self._channel = channel
        self._replan = replan
        self._news = news
        self._server: Running | None = None
        self._ready = False
        self._leaving = Leaving()
        self._stock = Stock(channel, descriptors)
        self._project: Project | None = None
        self._learnt: tuple[int, int] | None = None
        """Which lesson was the last."""
        self._checks = 0
        self._check_at = self._slow_at = self._settle_at = math.inf
        self._crashed_at = -math.inf
        self._terminal = Terminal()
        self._pending: set[str] = set()
        self._left: set[str] = set()
        """Changes for which no server could be started."""
        self._start_at = 0.0
        """When changes that are pending are acted on."""
        self._since, self._pause = 0.0, FIRST_PAUSE_S
        self._stopping = 0
        self._wake, writer = os.pipe()
        for end in (self._wake, writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: None)

    def run(self) -> int:
        """Serve until told to stop, and return the exit status."""
        become_subreaper()
        began_ns = time.time_ns()
        self._start((), "the first start")
        with self._trying("watch the project"):
            project = self._project = Project(self._terms.interest, self._channel, self._news)
        if self._terms.failure is not None:
            self._note(project.learn_failure(self._terms.failure["files"], began_ns))
        while not self._stopping or self._server is not None or self._leaving:
            self._turn(project)
        self._stock.close()
        project.close()
        return 0

    def _turn(self, project: Project) -> None:
        """Wait for something to happen, and deal with it."""
        awaited: list[Any] = [self._wake, project, *self._stock.templates]
        if self._server is not None:
            awaited.append(self._server.notices)
        times = [self._check_at, self._slow_at, self._settle_at, self._leaving.due()]
        if self._pending and not self._stopping:
            times.append(self._start_at)
        until = min(times)
        wait = None if until == math.inf else max(0.0, until - time.monotonic())
        ready = select.select(awaited, [], [], wait)[0]
        if self._wake in ready:
            self._notice_signals(project)
        if self._server is not None and self._server.notices in ready:
            self._hear(self._server)
        for template in self._stock.templates:
            if template in ready:
                left_out = self._stock.hear(template)
                if left_out is not None:
                    self._news.left_out(left_out)
                    self._settle_soon()
        if project in ready:
            self._note(project.changes())
        now = time.monotonic()
        if self._pending and now >= self._start_at and not self._stopping:
            self._act(project)
        if now >= self._slow_at:
            self._slow_at = math.inf
            if self._server is not None and not self._ready:
                names = project.names(self._server.paths)
                self._news.say(f"still starting after {SLOW_S:g} s{names and ': '}{names}")
        if now >= self._settle_at:
            self._settle(project)
        if now >= self._check_at:
            self._check_at = math.inf
            if self._terms.checks is not None:
                with self._trying("start Django's checks"):
                    self._checks, _ = self._stock.start(self._terms.checks, "" if self._stock.ready else "no matter")
        self._leaving.look()

    # Signals

    def _notice_signals(self, project: Project) -> None:
        for number in os.read(self._wake, 4096):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(number)
            elif number == signal.SIGHUP and self._terminal.gone():
                self._stop(signal.SIGINT)
            elif number == signal.SIGHUP and not self._stopping:
                self._news.reload_begins()
                self._since = time.monotonic()
                self._act(project, "asked for")
        for pid, status in ended():
            if self._leaving.bury(pid):
                self._terminal.restore()
            self._stock.bury(pid)
            if pid == self._checks:
                self._checks = 0
            if self._server is not None and pid == self._server.pid:
                self._lose(self._server, status)

    def _stop(self, number: int) -> None:
        again, self._stopping = self._stopping, number
        if self._server is not None:
            self._dismiss(self._server, number)
        if again or number == signal.SIGINT:
            self._leaving.hurry(signal.SIGKILL if again else number)
        self._settle_at = math.inf
        self._stock.stand_down()
        self._end_checks()

    def _end_checks(self) -> None:
        self._check_at = math.inf
        if self._checks:
            send(self._checks, signal.SIGKILL)

    # Changes

    def _note(self, changed: set[str]) -> None:
        """Take changes in, and wait a moment for more where they come in a burst."""
        if not changed:
            return
        if not self._pending:
            self._since = time.monotonic()
        if self._server is not None and not self._ready:
            # Overtaken: what was started has not served anybody, and would show what is no longer so.
            self._pending.update(self._server.paths)
            self._dismiss(self._server, signal.SIGTERM)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
            self._start_at = time.monotonic() + self._pause
        self._pending |= changed

    def _act(self, project: Project, cold: str = "") -> None:
        """Serve what is on disk now, by a start that is `cold` if there is a reason for that."""
        paths, self._pending = tuple(sorted(self._pending | self._left)), set()
        planned, settings = project.of_the_plan(paths), project.settings(paths)
        if planned or settings or project.of_the_target(paths) or self._terms.failure is not None:
            before = self._terms
            try:
                self._terms = self._replan()
            except LaunchError as error:
                if not planned:
                    self._fail(failure("\n".join(map(str, error.findings))), time.time_ns())
                    return
                self._news.refuse(error)
            else:
                self._pending |= project.renew(self._terms.interest)
            if self._terms == before and planned and len(planned) == len(paths) and self._server and not self._left:
                return
        self._start(paths, f"{os.path.basename(settings[0])} has settings" if settings else cold)

    # Servers

    def _start(self, paths: tuple[str, ...], cold: str) -> None:
        """Replace the server by one with the code that is on disk."""
        self._end_checks()
        self._channel.forget(FAILURE)
        if self._terms.failure is not None:
            self._fail(self._terms.failure, time.time_ns())
            return
        cold = cold if self._terms.warm else "warm_start is off"
        self._launch(self._terms.order, paths, cold, page=False)

    def _launch(self, order: Order, paths: tuple[str, ...], cold: str, *, page: bool) -> None:
        began, began_ns = time.monotonic(), time.time_ns()
        self._left.update(paths)
        with self._trying("start the server"):
            pid, notices, cold = self._stock.serve(order, cold)
            if self._server is not None:
                self._dismiss(self._server, signal.SIGTERM)
            self._left.clear()
            self._settle_at, self._slow_at = math.inf, math.inf if page else began + SLOW_S
            self._ready = False
            self._server = Running(pid, notices, began, began_ns, paths, cold, page)
            self._news.server_begins(pid)

    @contextmanager
    def _trying(self, what: str) -> Iterator[None]:
        """Say what the system refuses, and go on with what there is. Raises LaunchError where that is nothing yet."""
        try:
            yield
        except OSError as error:
            finding = refused(what, error, self._terms.order.environ)
            if self._project is None:
                raise LaunchError(finding) from error
            self._news.say(f"{finding} The next save tries again.")
            self._news.reload_ends(str(finding))

    def _dismiss(self, server: Running, number: int) -> None:
        """Tell a server to stop; the next one need not wait for it."""
        self._server = None
        self._channel.forget(server_log(server.pid))
        self._leaving.tell(server, number, 0.0 if number == signal.SIGINT else self._terms.graceful_s)

    def _hear(self, server: Running) -> None:
        """Read what a server says."""
        self._news.workers(lines := server.says())
        if "READY=1" in lines and not self._ready:
            self._ready = True
            self._settle_soon()
            if not server.page:
                self._serves(server)

    def _serves(self, server: Running) -> None:
        """A server can answer."""
        first = not self._since
        self._pause = FIRST_PAUSE_S
        self._since = self._since or server.began
        self._news.server_ready()
        if not first:
            took = time.monotonic() - self._since
            self._news.reloaded(took, server.cold, self._project.names(server.paths) if self._project else "")
        self._news.reload_ends("")
        if self._terms.checks is not None:
            self._check_at = time.monotonic() + CHECK_AFTER_S
        if first and self._terms.url:
            from .browser import open_browser

            open_browser(self._terms.url)

    def _settle_soon(self) -> None:
        if self._ready and not self._stopping:
            # What is new about it is to be watched from now on.
            new = self._channel.stamp(LEARNT) != self._learnt
            self._settle_at = time.monotonic() + (0 if new else SETTLE_AFTER_S)

    def _settle(self, project: Project) -> None:
        """Learn what a server that is ready consists of, and have the next one stand by."""
        self._settle_at = math.inf
        self._learnt = self._channel.stamp(LEARNT)
        server, lesson = self._server, self._channel.hear(LEARNT)
        with self._trying("make the next start ready"):
            if server is not None and not server.page and lesson:
                self._note(project.learn(lesson, server.began_ns))
                if self._terms.warm:
                    self._stock.keep_up(lesson, self._terms.order)
            if self._terms.ahead and self._terms.failure is None:
                self._stock.stand(self._terms.order)

    def _lose(self, server: Running, status: int) -> None:
        """A server has ended, and nobody told it to."""
        was_ready = self._ready
        self._terminal.restore()
        self._server = None
        server.notices.close()
        log = server_log(server.pid)
        said = self._channel.last_lines(log, LAST_LINES)
        self._channel.forget(log)
        if self._stopping:
            return
        if stale := self._channel.hear(STALE):
            self._channel.forget(STALE)
            self._stock.discard()
            self._start(server.paths, stale["reason"])
            return
        facts = self._channel.hear(FAILURE)
        how = f"the server {how_it_ended(status)}"
        now = time.monotonic()
        if was_ready and not server.page and now - self._crashed_at > STEADY_S:
            self._news.say(f"{how}: started again")
            self._since = self._crashed_at = now
            self._start((), "")
            return
        if server.page:
            if self._terms.page is not None and not server.cold:
                self._launch(self._terms.page, (), "the first page has gone", page=True)
            else:
                self._news.say(f"{how}; the next change starts another")
            return
        if not facts:
            when = ", soon after it was ready" if was_ready else " before it was ready"
            facts = failure(f"{how}{when}.", said)
        self._since = self._since or server.began
        self._fail(facts, server.began_ns)

    def _fail(self, facts: Mapping[str, Any], began_ns: int) -> None:
        """Say what is wrong, here and on the page that is served meanwhile, and watch what may mend it."""
        self._end_checks()
        with self._trying("show the failure in the browser"):
            self._channel.tell(FAILURE, facts)
        self._news.say(failure_text(facts, colour=self._news.colour))
        self._news.reload_ends(str(facts["message"]))
        if self._terms.page is not None:
            self._launch(self._terms.page, (), "" if self._stock.ready else "a page", page=True)
        elif self._server is not None:
            self._dismiss(self._server, signal.SIGTERM)
        if self._project is not None:
            self._note(self._project.learn_failure(facts["files"], began_ns))
