"""The parent of a server in development: it holds the sockets, and has the code served that is on disk.

A request that comes while nothing serves waits in the kernel's backlog for the server that is about to.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import LaunchError
from ..supervise.template import become_subreaper
from .channel import FAILURE, LEARNT, SERVER_LOG, STALE, Channel
from .files import Interest, is_installed
from .stock import Order, Template, spawn, start_cold
from .terminal import failure_text
from .watching import Watcher, why_poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .news import News

KILL_AFTER_S = 2.0
"""What a server that was told to stop may take beyond `graceful_timeout`."""
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.32
"""How long a burst of changes is let go on before the next start, once it has overtaken a start."""
LAST_LINES = 20
"""What is shown of the log of a server that ended without a word of ours."""
STEADY_S = 5.0
"""A server that ends by itself is started again at once if it has lived so long."""


class Terms(NamedTuple):
    """What is served, as the plan has it now."""

    order: Order
    broken: Order | None
    """The server of the page that says what is wrong."""
    interest: Interest
    warm: bool
    checks: Order | None
    graceful_s: float
    url: str
    """To be opened in a browser at the first answer; empty where it is not."""


class Running(NamedTuple):
    """A server that was started."""

    pid: int
    notices: socket.socket
    began: float
    began_ns: int
    """Wall clock."""
    paths: tuple[str, ...]
    cold: str
    """Why it was not started warm; empty where it was."""
    page: bool
    """Whether it only says what is wrong."""


class Leaving(NamedTuple):
    """A server that was told to go."""

    notices: socket.socket
    """Kept, for it has yet to say that it stops."""
    until: float
    """When it is killed."""


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
        self._descriptors = descriptors
        self._replan = replan
        self._news = news
        self._server: Running | None = None
        self._ready = False
        self._leaving: dict[int, Leaving] = {}
        """Processes that were told to go."""
        self._template: Template | None = None
        self._next_template: Template | None = None
        self._told_left_out: set[str] = set()
        self._checks = 0
        self._watcher: Watcher | None = None
        self._watched_ns = 0
        """Since when all directories are watched: wall clock."""
        self._interest = terms.interest
        self._pending: set[str] = set()
        self._start_at = 0.0
        """When changes that are pending are acted on."""
        self._since = 0.0
        self._pause = FIRST_PAUSE_S
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
        self._start((), "the first start")
        poll = why_poll(self._interest.root)
        if poll:
            self._news.say(f"files are looked at twice a second: {poll}")
        self._poll = bool(poll)
        self._watch()
        while not self._stopping or self._server is not None or self._leaving:
            self._turn()
        for template in (self._template, self._next_template):
            if template is not None:
                template.close()
        if self._watcher is not None:
            self._watcher.close()
        return 0

    def _turn(self) -> None:
        awaited: list[Any] = [self._wake]
        awaited += [each for each in (self._watcher, self._template, self._next_template) if each is not None]
        if self._server is not None:
            awaited.append(self._server.notices)
        times = [*(each.until for each in self._leaving.values()), *([self._start_at] if self._pending else [])]
        wait = max(0.0, min(times) - time.monotonic()) if times else None
        ready = select.select(awaited, [], [], wait)[0]
        if self._wake in ready:
            self._notice_signals()
        if self._server is not None and self._server.notices in ready:
            self._hear(self._server)
        for template in (self._template, self._next_template):
            if template is not None and template in ready:
                self._hear_template(template)
        if self._watcher is not None and self._watcher in ready and not self._stopping:
            self._note(self._watcher.changes())
        now = time.monotonic()
        if self._pending and now >= self._start_at and not self._stopping:
            self._act()
        for pid, leaving in self._leaving.items():
            if now >= leaving.until:
                _signal(pid, signal.SIGKILL)
                self._leaving[pid] = leaving._replace(until=now + KILL_AFTER_S)

    # Signals

    def _notice_signals(self) -> None:
        for number in os.read(self._wake, 4096):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(number)
            elif number == signal.SIGHUP and not self._stopping:
                self._news.reload_begins()
                self._since = time.monotonic()
                self._start((), "asked for")
        while True:
            try:
                pid, raw = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._leaving:
                self._leaving.pop(pid).notices.close()
            if self._server is not None and pid == self._server.pid:
                self._lose(self._server, os.waitstatus_to_exitcode(raw))

    def _stop(self, number: int) -> None:
        again, self._stopping = self._stopping, number
        now = time.monotonic()
        if self._server is not None:
            self._dismiss(self._server, number)
        for pid, leaving in self._leaving.items():
            _signal(pid, signal.SIGKILL if again else number)
            if number == signal.SIGINT:
                self._leaving[pid] = leaving._replace(until=min(leaving.until, now + KILL_AFTER_S))
        if self._checks:
            _signal(self._checks, signal.SIGKILL)

    # Changes

    def _watch(self) -> None:
        """Watch what there is to watch now."""
        directories = self._interest.directories()
        before = self._watcher
        if before is None or directories != before.directories:
            self._watcher = Watcher(directories, poll=self._poll)
            self._watched_ns = time.time_ns()
            if before is not None:
                self._note(before.changes())
                before.close()

    def _note(self, paths: Iterable[str]) -> None:
        """Take changes in, and wait a moment for more where they come in a burst."""
        assert self._watcher is not None
        found = self._interest.sort(paths, self._watcher.directories)
        if found.afresh:
            self._channel.changed(found.afresh)
            self._news.say(f"{_names(found.afresh, self._interest.root)}: no restart needed")
        if any(os.path.isdir(path) or path in self._watcher.directories for path in paths):
            self._watch()
            inside = (os.path.join(path, name) for path in paths if os.path.isdir(path) for name in os.listdir(path))
            found.restart.extend(self._interest.sort(inside, frozenset()).restart)
        changed = {*found.plan, *found.restart}
        if not changed:
            return
        if not self._pending:
            self._since = time.monotonic()
        if self._server is not None and not self._ready:
            # Overtaken: what was started has not served anybody, and would show what is no longer so.
            self._dismiss(self._server, signal.SIGTERM)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
            self._start_at = time.monotonic() + self._pause
        self._pending |= changed

    def _act(self) -> None:
        """Serve what is on disk now."""
        paths, self._pending = tuple(sorted(self._pending)), set()
        cold = ""
        if any(path in self._interest.plan for path in paths):
            try:
                terms = self._replan()
            except LaunchError as error:
                self._news.refuse(error)
                if all(path in self._interest.plan for path in paths):
                    return
            else:
                if terms == self._terms and all(path in self._interest.plan for path in paths):
                    return
                self._terms = terms
                self._interest = terms.interest._replace(
                    **{name: getattr(self._interest, name) for name in ("loaded", "afresh", "outside")}
                )
        elif settings := [path for path in paths if path in self._settings_files()]:
            cold = f"{os.path.basename(settings[0])} has settings"
        self._start(paths, cold)

    def _settings_files(self) -> set[str]:
        """Return the files of the settings module, and of its package where that is for settings alone."""
        lesson = self._channel.hear(LEARNT)
        names = set(lesson.get("settings", ()))
        packages = {name.rpartition(".")[0] for name in names if "settings" in name.rpartition(".")[0]}
        return {
            file
            for name, file in lesson.get("modules", ())
            if name in names or name in packages or name.rpartition(".")[0] in packages
        }

    # Servers

    def _start(self, paths: tuple[str, ...], cold: str) -> None:
        """Replace the server by one with the code that is on disk."""
        if self._server is not None:
            self._dismiss(self._server, signal.SIGTERM)
        if self._checks:
            _signal(self._checks, signal.SIGKILL)
        self._channel.forget(FAILURE)
        self._channel.forget(SERVER_LOG)
        self._launch(self._terms.order, paths, cold or self._why_cold(), page=False)

    def _why_cold(self) -> str:
        if not self._terms.warm:
            return "warm_start is off"
        if self._template is None or not self._template.ready:
            return "what it needs is still being imported ahead"
        return ""

    def _launch(self, order: Order, paths: tuple[str, ...], cold: str, *, page: bool) -> None:
        name = f"@serve-develop-{os.getpid()}-{os.urandom(8).hex()}"
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notices.bind("\0" + name[1:])
        notices.setblocking(False)
        order = order._replace(environ={**order.environ, "NOTIFY_SOCKET": name})
        began, began_ns = time.monotonic(), time.time_ns()
        pid = 0
        if not cold and self._template is not None:
            pid = self._template.fork(order)
            # Looked at while it starts.
            cold = self._template.unlike(self._terms.order) if pid else "the process to fork from has gone"
            if cold:
                if pid:
                    _signal(pid, signal.SIGKILL)
                pid = 0
                self._template.close()
                self._template = None
        if not pid:
            pid = start_cold(order, self._descriptors)
        self._ready = False
        self._server = Running(pid, notices, began, began_ns, paths, cold, page)
        self._news.server_begins(pid)

    def _dismiss(self, server: Running, number: int) -> None:
        """Tell a server to stop; the next one need not wait for it."""
        self._server = None
        _signal(server.pid, number)
        grace = 0.0 if number == signal.SIGINT else self._terms.graceful_s
        self._leaving[server.pid] = Leaving(server.notices, time.monotonic() + grace + KILL_AFTER_S)

    def _hear(self, server: Running) -> None:
        """Read what a server says."""
        try:
            lines = server.notices.recv(4096).decode(errors="replace").splitlines()
        except BlockingIOError:
            return
        if "READY=1" in lines and not self._ready:
            self._ready = True
            if not server.page:
                self._serves(server)

    def _serves(self, server: Running) -> None:
        """A server can answer."""
        first = not self._since
        self._pause = FIRST_PAUSE_S
        took = time.monotonic() - (self._since or server.began)
        self._since = self._since or server.began
        self._news.server_ready(server.pid)
        if not first:
            text = f"reloaded in {took * 1000:.0f} ms"
            text += f", cold ({server.cold})" if server.cold else ""
            text += f": {_names(server.paths, self._interest.root)}" if server.paths else ""
            self._news.say(text)
        self._news.reload_ends("")
        self._learn(server)
        if self._terms.checks is not None:
            self._checks = spawn(self._terms.checks, ())
        if first and self._terms.url:
            from .browser import open_browser

            open_browser(self._terms.url)

    def _lose(self, server: Running, status: int) -> None:
        """A server has ended, and nobody told it to."""
        was_ready = self._ready
        self._server = None
        server.notices.close()
        if self._stopping:
            return
        if stale := self._channel.hear(STALE):
            self._channel.forget(STALE)
            if self._template is not None:
                self._template.close()
                self._template = None
            self._start(server.paths, stale["reason"])
            return
        facts = self._channel.hear(FAILURE)
        how = f"the server {_how(status)}"
        if was_ready and not server.page and time.monotonic() - server.began > STEADY_S:
            self._news.say(f"{how}: started again")
            self._start((), "")
            return
        if not facts:
            when = ", soon after it was ready" if was_ready else " before it was ready"
            said = self._channel.last_lines(SERVER_LOG, LAST_LINES)
            facts = {"message": f"{how}{when}.", "trace": said, "files": []}
            self._channel.tell(FAILURE, facts)
        if server.page:
            self._news.say(f"{how}; the next change starts another")
            return
        self._news.say(failure_text(facts, colour=self._news.colour))
        self._news.reload_ends(str(facts["message"]))
        self._since = self._since or server.began
        outside = {os.path.dirname(path) for path in facts.get("files", ()) if not is_installed(path)}
        files = {path for path in facts.get("files", ()) if not is_installed(path)}
        self._interest = self._interest._replace(loaded=self._interest.loaded | files)
        if self._watcher is not None and not outside <= self._watcher.directories:
            self._watch()
        if self._terms.broken is not None:
            self._launch(self._terms.broken, (), "" if self._template and self._template.ready else "a page", page=True)
        self._missed(server, files)

    # What was learnt

    def _learn(self, server: Running) -> None:
        """Watch what the application is made of, and have a template made for it."""
        lesson = self._channel.hear(LEARNT)
        if not lesson:
            return
        own = {file for _, file in lesson["modules"] if file and not is_installed(file)}
        self._interest = self._interest._replace(
            loaded=frozenset(own), afresh=tuple(lesson["afresh"]), outside=tuple(_outside(own, self._interest.root))
        )
        self._watch()
        self._missed(server, own)
        if not self._terms.warm:
            return
        newest = self._next_template or self._template
        if newest is None or newest.outgrown(lesson) or newest.unlike(self._terms.order):
            if self._next_template is not None:
                self._next_template.close()
            self._next_template = Template(self._channel, self._terms.order, self._descriptors, lesson)

    def _missed(self, server: Running, files: Iterable[str]) -> None:
        """Take in what changed after a server began and before it was watched."""
        if server.began_ns > self._watched_ns:
            return
        late = []
        for path in files:
            try:
                if os.stat(path).st_mtime_ns > server.began_ns:
                    late.append(path)
            except OSError:
                pass  # what was learnt may be of a server before
        if late:
            self._note(late)

    def _hear_template(self, template: Template) -> None:
        template.hear()
        if template.ready and template is self._next_template:
            if self._template is not None:
                self._template.close()
            self._template, self._next_template = template, None
            for name, reason in template.left_out.items():
                if "starts threads" in reason and reason.startswith(name) and name not in self._told_left_out:
                    self._told_left_out.add(name)
                    self._news.say(f"each start imports it anew: {reason}")
        elif template.gone:
            template.close()
            if template is self._next_template:
                self._next_template = None
            else:
                self._template = None


def _outside(files: Iterable[str], root: str) -> set[str]:
    """Return the directories of modules that lie elsewhere, such as packages that are installed to be edited."""
    inside = os.path.join(root, "")
    return {os.path.dirname(file) for file in files if not file.startswith(inside)}


def _names(paths: Sequence[str], root: str) -> str:
    shown = [os.path.relpath(path, root) for path in paths[:2]]
    more = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
