"""The parent of workers: what `crew` decides, done with real processes.

It imports neither a server nor the project, has no threads, and waits for three things only: signals, its workers'
words, and the proof of a reload.
"""

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from .. import instance
from ..application import DEVELOP
from ..board import Board
from ..errors import Exit
from ..lean import Generic, TypeVar
from ..runners import streams
from ..runners.identity import give_up_root
from . import actions as act
from .actions import Action
from .children import CannotFork, await_end, ended, fork
from .crew import Crew
from .ledger import Ledger
from .manager import tell
from .notices import REPLACE, VOICE, Notices, Post
from .trade import Orders, Trade, environ_of_workers

if TYPE_CHECKING:
    from ..runners.reload import Reload, Verdict
    from .template import Template

T = TypeVar("T")

WAKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
IGNORED = (signal.SIGUSR1, signal.SIGUSR2)
SIGN_S = 1.0
"""How often workers show that they answer, unless the service manager wants to know sooner."""

logger = logging.getLogger("launcher.supervisor")


class Supervisor(Generic[T]):
    """One server's parent."""

    def __init__(self, trade: Trade[T], options: T, listeners: Sequence[socket.socket], what: str) -> None:
        """`what` is served and where, for the log."""
        terms = trade.terms(options)
        self.trade = trade
        self.crew, self._first = Crew(terms, what), terms.workers
        self.orders = {1: Orders(options, environ_of_workers(os.environ))}
        self.listeners = listeners
        self.notices = Notices()
        self.pids: dict[int, int] = {}
        """Process -> the worker that it is."""
        self._rows: dict[int, int] = {}
        self._status: int | None = None
        self._directory = os.environ.get(instance.VARIABLE)
        self._board = Board.of(self._directory)
        self._ledger = Ledger()
        self._lifeline, self._life = os.pipe()
        self._wake, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._reload: Reload | None = None
        self._templates: dict[int, Template[T]] = {}
        self._unheard: dict[int, int] = {}
        """Worker -> the signal for it, that it was not there to get."""
        self._stillborn: list[int] = []
        """Workers for which there was no room; they are buried with the others that end."""
        self._sign_every = min(SIGN_S, terms.watchdog / 4) if terms.watchdog else SIGN_S

    def run(self) -> int:
        """Serve until told to stop, and return the exit status."""
        self._listen()
        self._do(self.crew.begin(time.monotonic()))
        while self._status is None:
            self._turn()
        return self._status

    def _listen(self) -> None:
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in WAKING:
            signal.signal(number, _noted)

    def _turn(self) -> None:
        """Wait for something to happen, and deal with it."""
        until = self.crew.next_tick()
        wait = None if until is None else max(0.0, until - time.monotonic())
        awaited: list[Any] = [self._wake, self.notices, *self._templates.values()]
        if self._reload is not None and self._reload.verdict is None:
            awaited.append(self._reload)
        ready = select.select(awaited, [], [], wait)[0]
        if self.notices in ready:
            self._hear()
        self._meet()
        if self._wake in ready:
            self._notice_signals()
        if self._reload is not None and self._reload in ready and self._reload.verdict is None:
            self._judge(self._reload.poll())
        if self._status is None:
            self._do(self.crew.tick(time.monotonic(), self._last_sign()))

    def _hear(self) -> None:
        """Read what workers say."""
        while (notice := self.notices.read()) is not None:
            pid, words = notice
            number = self.pids.get(pid)
            if number is None:
                self._meet()
                number = self.pids.get(pid)
            if number is None:
                continue  # a child of a worker, or one that has been buried
            now = time.monotonic()
            if "READY" in words:
                self._do(self.crew.ready(number, now))
            if "WATCHDOG" in words:
                self._do(self.crew.beat(number, now))
            if REPLACE in words:
                self._do(self.crew.asks(number, words[REPLACE], now))
            if "STOPPING" in words:
                self._do(self.crew.leaves(number, now))

    def _notice_signals(self) -> None:
        try:
            numbers = os.read(self._wake, 4096)
        except BlockingIOError:
            return
        # What a worker said before its end counts.
        self._hear()
        for number in numbers:
            now = time.monotonic()
            if number in (signal.SIGTERM, signal.SIGINT):
                self._do(self.crew.stop(number, now))
            elif number == signal.SIGHUP:
                self._do(self.crew.hang_up(now))
            elif number in IGNORED:
                logger.warning("ignoring %s", signal.Signals(number).name)
        self._reap()

    def _reap(self) -> None:
        while self._stillborn:
            self._bury(self._stillborn.pop(), Exit.NOT_READY)
        for pid, status in ended():
            self._meet()
            for template in list(self._templates.values()):
                if template.pid == pid:
                    self._lose(template, status)
            number = self.pids.pop(pid, None)
            if number is not None:
                self._bury(number, status)

    def _meet(self) -> None:
        """Learn which processes have come of templates."""
        for template in self._templates.values():
            for number, pid in template.read():
                self._adopt(number, pid)

    def _bury(self, number: int, status: int) -> None:
        self._unheard.pop(number, None)
        row = self._rows.pop(number, None)
        if row is not None:
            self._board.clear(row)
            self._ledger.leave(row)
        self._do(self.crew.died(number, status, time.monotonic()))

    def _lose(self, template: "Template[T]", status: int) -> None:
        del self._templates[template.generation]
        for number, pid in template.read_to_the_end():
            self._adopt(number, pid)
        template.lose(status)
        for number in template.awaited:
            self._bury(number, status)

    def _last_sign(self) -> float:
        return max((self._board.entry(row).sign for row in self._rows.values()), default=0.0)

    # Actions

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case act.Start(worker, generation):
                    self._start(worker, generation)
                case act.End(worker, how):
                    self._signal(worker, self.trade.signals[how])
                case act.Discard(worker):
                    self._discard(worker)
                case act.Tell(lines):
                    tell(*lines)
                case act.Say(level, text):
                    logger.log(logging.getLevelName(level.upper()), "%s", text)
                case act.GiveUp(text, status):
                    self._give_up(text, status)
                case act.Prove(generation):
                    self._prove(generation)
                case act.Adopt(_):
                    if self._reload is not None:
                        self._reload.replacing()
                case act.EndReload(reason):
                    self._end_reload(reason)
                case act.AbandonReload():
                    if self._reload is not None:
                        self._reload.stop()
                        self._reload = None
                case act.Drain():
                    instance.drain(os.environ)
                case act.Close():
                    self.trade.shut()
                    for listener in self.listeners:
                        listener.close()
                    self._close_templates()
                case act.Leave(status):
                    self._status = status

    def _give_up(self, text: str, status: int) -> None:
        if DEVELOP in os.environ:
            from ..user_code import sudden_end, tell

            tell(sudden_end(status))
        else:
            logger.error("%s", text)

    def _start(self, number: int, generation: int) -> None:
        row = next(row for row in range(len(self._rows) + 1) if row not in self._rows.values())
        self._rows[number] = row
        self._ledger.claim(row)
        post = Post(row, generation, self._board, self._ledger, self.notices.writer, self._lifeline, self._sign_every)
        try:
            self._make(number, post)
        except CannotFork as error:
            logger.error("%s", error)
            self._stillborn.append(number)
            os.write(self._writer, b"\0")

    def _make(self, number: int, post: Post) -> None:
        orders = self.orders[post.generation]
        if self.trade.preload:
            template = self._templates.get(post.generation)
            if template is None:
                from .template import Template

                template = self._templates[post.generation] = Template(self, post, orders)
            template.ask(number, post.row)
            return
        together = {VOICE: str(self.notices.voice)} if number <= self._first else {}
        pid = self.fork(lambda: self.trade.live(post, orders.options), {**orders.environ, **together})
        self._adopt(number, pid)

    def _adopt(self, number: int, pid: int) -> None:
        """Note which process is a worker."""
        self.pids[pid] = number
        self.crew.born(number, pid)
        if number in self._unheard:
            self._signal(number, self._unheard.pop(number))

    def fork(self, live: Callable[[], NoReturn], environ: Mapping[str, str]) -> int:
        """Return the process in which `live` is called: with this environment, signals blocked and nothing of ours."""
        streams.flush()
        pid = fork()
        if not pid:
            self._let_go(environ)
            live()
        return pid

    def _let_go(self, environ: Mapping[str, str]) -> None:
        """Make a process that was forked forget its parent's business."""
        give_up_root()
        signal.set_wakeup_fd(-1)
        for end in (self._life, self._wake, self._writer):
            os.close(end)
        self.notices.close_reader()
        for template in self._templates.values():
            template.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(environ)

    def _signal(self, number: int, signal_number: int) -> None:
        for pid, worker in self.pids.items():
            if worker == number:
                try:
                    os.kill(pid, signal_number)
                except ProcessLookupError:
                    pass
                return
        # With preload: a worker that is not made yet never will be,
        for template in self._templates.values():
            if number in template.awaited:
                self._unheard[number] = signal_number  # or it is being made
                template.end(signal_number)

    def _discard(self, number: int) -> None:
        self._signal(number, signal.SIGKILL)
        makers = (template.pid for template in self._templates.values() if number in template.awaited)
        await_end(*makers, *(pid for pid, worker in self.pids.items() if worker == number))

    def _close_templates(self, newest: int = 0) -> None:
        """End the processes that loaded the application for generations other than `newest`."""
        for template in list(self._templates.values()):
            # One that still loads is told by way of the workers that are to come of it.
            if template.generation != newest and not template.awaited:
                del self._templates[template.generation]
                template.end(signal.SIGKILL)
                # It has the listening sockets too: they are to be the workers' alone now.
                os.waitpid(template.pid, 0)

    # Reload

    def _prove(self, generation: int) -> None:
        from ..runners.reload import Reload

        self._reload = Reload(self._directory, generation, os.environ)
        if self._reload.verdict is not None:
            self._judge(self._reload.verdict)

    def _judge(self, verdict: "Verdict | None") -> None:
        if verdict is None:
            return
        generation = self.crew.generation + 1
        reason, terms = verdict.reason, None
        if verdict.ok:
            old = self.orders[self.crew.generation]
            environ = dict(os.environ)
            verdict.apply(environ)
            try:
                options = self.trade.read(verdict.argv[verdict.argv.index("-m") + 2 :]) if verdict.argv else old.options
            except SystemExit:
                reason = "the new command cannot be read"
            else:
                self.orders[generation] = Orders(options, environ_of_workers(environ))
                terms = self.trade.terms(options)
        self._do(self.crew.verdict(terms, reason, time.monotonic()))

    def _end_reload(self, reason: str) -> None:
        generation = self.crew.generation
        self.orders = {generation: self.orders[generation]}
        if not reason:
            self.trade.adopt(self.orders[generation].options)
        self._close_templates(generation)
        if self._reload is not None:
            if self._reload.verdict is not None and not reason:
                self._reload.verdict.apply(os.environ)
            self._reload.end(reason)
            self._reload = None


def _noted(number: int, frame: object) -> None:
    """Python has written the number to the wake-up pipe; this is only to be no default action."""
