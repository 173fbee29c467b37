"""What a supervisor decides: events in, actions out, and a clock that the caller reads.

Nothing here knows of processes, so that a history can be written by hand (tests/stories). Workers have numbers, which
are never used again.
"""

import signal
from collections.abc import Iterable

from ..errors import Exit
from .actions import (
    AbandonReload,
    Action,
    Adopt,
    Close,
    Discard,
    Drain,
    End,
    EndReload,
    GiveUp,
    Leave,
    Prove,
    Say,
    Start,
    Tell,
)
from .children import how_it_ended
from .pace import Pace
from .terms import Terms
from .worker import LEAVING, NEVER, READY, STARTING, Worker

SERVING, DRAINING, STOPPING = "serving", "draining", "stopping"

EXTEND_EVERY_S = 5.0
EXTEND_BY_S = 10.0
QUICK_S = 1.0
"""What SIGINT leaves to the requests in flight (launcher.runners.signals)."""
KILL_S = 1.0
"""What a second signal leaves to the workers that it kills."""


class Crew:
    """The workers of a server, from its start to its end."""

    def __init__(self, terms: Terms, what: str) -> None:
        """`what` is served and where, for the log."""
        self.generation = 1
        self.workers: dict[int, Worker] = {}
        self._terms = terms
        self._what = what
        self._state = SERVING
        self._answers = False
        """Whether a worker has ever been ready."""
        self._status: int = Exit.FINE
        self._number = 0
        self._pace = Pace()
        self._began = 0.0
        self._extend_at = 0.0
        self._drained_at = 0.0
        self._watchdog_at = 0.0
        self._leave_at = 0.0
        """When the service ends though there may be workers; 0 is never."""
        self._reloading = False
        self._next_terms: Terms | None = None
        """Those of the next generation, while its workers start."""
        self._hands_over = False
        """Whether the next generation serves, and workers of the last one may accept still."""
        self._again = False
        """Whether another reload was asked for meanwhile."""
        self._actions: list[Action] = []

    # Events

    def begin(self, now: float) -> list[Action]:
        self._began = now
        self._extend_at = now + EXTEND_EVERY_S
        return self._done(now)

    def born(self, number: int, pid: int) -> None:
        """Note which process a worker is."""
        if number in self.workers:
            self.workers[number].pid = pid

    def ready(self, number: int, now: float) -> list[Action]:
        worker = self.workers.get(number)
        if worker and worker.state == STARTING:
            worker.ready(now)
            if not self._answers:
                self._answers = True
                self._watchdog_at = now
                self._say("info", f"serving {self._what}")
                self._tell("READY=1", f"STATUS=serving {self._what}")
                if self._again:
                    self._prove()
        return self._done(now)

    def beat(self, number: int, now: float) -> list[Action]:
        """A worker shows that it lives."""
        if number in self.workers:
            self.workers[number].beat = now
        return []

    def asks(self, number: int, reason: str, now: float) -> list[Action]:
        """A worker wants to be replaced."""
        worker = self.workers.get(number)
        if worker and worker.state == READY and not worker.asked:
            worker.asked = True
            self._say("info", f"{worker} is replaced: {reason}")
        return self._done(now)

    def leaves(self, number: int, now: float) -> list[Action]:
        """A worker goes, whoever has told it to."""
        worker = self.workers.get(number)
        if worker:
            worker.accepts = False
        if worker and worker.state == READY and self._state != STOPPING:
            self._say("warning", f"{worker} was told to stop, and not by us: another is started")
            worker.leave(self._terms.graceful_timeout, now)
        return self._done(now)

    def died(self, number: int, status: int, now: float) -> list[Action]:
        """A worker has ended; `status` is negative where a signal has ended it."""
        worker = self.workers.pop(number, None)
        if worker is None or worker.state == LEAVING or self._state == STOPPING:
            return self._done(now)
        how = f"{worker} {how_it_ended(status)}{' before it was ready' if worker.state == STARTING else ''}"
        if worker.generation > self.generation:
            self._refuse(f"a new {how}", now)
        elif worker.state == STARTING and not self._answers and status >= 0:
            # It ended of its own accord: another would do the same. With this status it has said why.
            if status != Exit.TARGET:
                self._actions.append(GiveUp(f"{how}: giving up", status))
            # 1 is of one that hangs as it loads (launcher.runners.loading), and says nothing to whoever started us.
            self._give_up(status if status > 1 else Exit.TARGET, now)
        else:
            self._mourn(worker, how, status, now)
        return self._done(now)

    def hang_up(self, now: float) -> list[Action]:
        """A reload is asked for."""
        if self._state == SERVING and self._answers and not self._reloading:
            self._prove()
        elif self._state == SERVING:
            self._again = True
        return self._done(now)

    def verdict(self, terms: Terms | None, reason: str, now: float) -> list[Action]:
        """The proof of new code has ended: well, with terms for new workers, or for a reason."""
        if self._reloading and self._next_terms is None:
            if terms is None:
                self._end_reload(reason)
            else:
                self._next_terms = terms
                self._actions.append(Adopt(self.generation + 1))
        return self._done(now)

    def stop(self, number: int, now: float) -> list[Action]:
        """A signal asks to stop; a second one to stop at once."""
        quick = number == signal.SIGINT
        if self._state == STOPPING:
            self._leave_at = now + KILL_S
            self._actions += [End(worker.number, "kill") for worker in self.workers.values()]
        elif self._state == DRAINING:
            self._finish("quick" if quick else "stop", now)
        else:
            self._say("info", f"stopping on {signal.Signals(number).name}")
            self._actions.append(Drain())
            self._tell("STOPPING=1", "STATUS=stopping")
            if self._reloading:
                self._actions.append(AbandonReload())
                self._reloading = self._again = self._hands_over = False
                self._next_terms = None
            if self._terms.drain_delay and not quick:
                self._state = DRAINING
                self._dismiss(self._next(), now)
                self._drained_at = now + self._terms.drain_delay
            else:
                self._finish("quick" if quick else "stop", now)
        return self._done(now)

    def tick(self, now: float, sign: float = 0.0) -> list[Action]:
        """Time has passed. `sign` is when a thread that answers requests has last shown that it takes work."""
        for worker in self.workers.values():
            if now >= worker.late_at(self._terms):
                self._say("error", f"{worker} {worker.lateness(self._terms)}, and is killed")
                self._actions.append(End(worker.number, "kill"))
                worker.killed(now)
        if self._state == DRAINING and now >= self._drained_at:
            self._finish("stop", now)
        if self._extends() and now >= self._extend_at:
            self._extend_at = now + EXTEND_EVERY_S
            self._tell(f"EXTEND_TIMEOUT_USEC={int(EXTEND_BY_S * 1e6)}", "STATUS=loading the application")
        if self._terms.watchdog and self._answers and now >= self._watchdog_at:
            self._watchdog_at = now + self._terms.watchdog / 2
            if now - sign < self._terms.watchdog / 2:
                self._tell("WATCHDOG=1")
        return self._done(now)

    def next_tick(self) -> float | None:
        """Return when `tick` has something to do, unless anything happens before; None if never."""
        times = [at for worker in self.workers.values() if (at := worker.late_at(self._terms)) < NEVER]
        if self._state == DRAINING:
            times.append(self._drained_at)
        if self._leave_at and self.workers:
            times.append(self._leave_at)
        if self._extends():
            times.append(self._extend_at)
        if self._terms.watchdog and self._answers:
            times.append(self._watchdog_at)
        if self._state != STOPPING and self._next_terms is None and self._missing():
            times.append(self._pace.start_at)
        return min(times, default=None)

    # What follows from them

    def _done(self, now: float) -> list[Action]:
        """Make and dismiss workers until there are as many as there are to be; return what is to be done."""
        if self._state == STOPPING:
            if not self.workers or (self._leave_at and now >= self._leave_at):
                self.workers.clear()
                self._actions.append(Leave(self._status))
        elif self._next_terms is not None:
            self._inherit(self._next_terms, now)
        if self._state != STOPPING and self._next_terms is None:
            self._fill(now)
        # Whoever asks after the reload is to be answered by new code alone.
        if self._hands_over and not any(
            each.accepts for each in self.workers.values() if each.generation < self.generation
        ):
            self._hands_over = False
            self._end_reload("")
        actions, self._actions = self._actions, []
        return actions

    def _own(self) -> list[Worker]:
        """Return the workers of the present generation that are to stay, and those that wait for a successor."""
        return [each for each in self.workers.values() if each.generation == self.generation and each.state != LEAVING]

    def _next(self) -> list[Worker]:
        """Return the workers that a reload makes."""
        return [each for each in self.workers.values() if each.generation > self.generation and each.state != LEAVING]

    def _missing(self) -> int:
        own = self._own()
        missing = self._terms.workers - len(own)
        # Successors come one after another: two workers for each would need twice the memory.
        if missing <= 0 and any(worker.asked for worker in own):
            missing = int(not any(worker.state == STARTING for worker in own))
        return max(0, missing)

    def _fill(self, now: float) -> None:
        serving = [worker for worker in self._own() if worker.state == READY]
        excess = max(0, len(serving) - self._terms.workers)
        self._dismiss([worker for worker in serving if worker.asked][:excess], now)
        if now >= self._pace.start_at:
            for _ in range(self._missing()):
                self._start(self.generation, now)

    def _inherit(self, terms: Terms, now: float) -> None:
        heirs = self._next()
        for _ in range(terms.workers - len(heirs)):
            self._start(self.generation + 1, now)
        if len(heirs) == terms.workers and all(worker.state == READY for worker in heirs):
            self._dismiss(self._own(), now)
            self.generation += 1
            self._terms, self._next_terms = terms, None
            self._pace = Pace()
            self._hands_over = True

    def _start(self, generation: int, now: float) -> None:
        self._number += 1
        deadline = now + (self._terms.start_timeout or NEVER)
        self.workers[self._number] = Worker(self._number, generation, now, deadline)
        self._actions.append(Start(self._number, generation))

    def _dismiss(self, workers: Iterable[Worker], now: float) -> None:
        for worker in workers:
            self._end(worker, "retire", now)

    def _end(self, worker: Worker, how: str, now: float) -> None:
        grace_s = self._terms.graceful_timeout
        idle = worker.state == STARTING and self._state == STOPPING
        worker.leave(min(grace_s, QUICK_S) if how == "quick" else grace_s, now)
        self._actions.append(Discard(worker.number) if idle else End(worker.number, how))

    def _mourn(self, worker: Worker, how: str, status: int, now: float) -> None:
        """Note the unexpected end of a worker, and when the next one is made."""
        delay = self._pace.mourn(now, now - worker.since if worker.state == READY else 0.0)
        serving = any(other.state == READY for other in self.workers.values())
        if worker.state == STARTING and self._pace.deaths >= self._terms.most_deaths and not serving:
            text = f"{how}; {self._pace.deaths} in a row did, and none is left: giving up"
            self._actions.append(GiveUp(text, status))
            self._give_up(status if status > 0 else Exit.NOT_READY, now)
            return
        self._say("error", f"{how}: another is started" + (f" in {delay:g} s" if delay else ""))

    def _give_up(self, status: int, now: float) -> None:
        self._status = status
        self._tell("STOPPING=1", "STATUS=no worker could start")
        self._finish("quick", now)

    def _finish(self, how: str, now: float) -> None:
        self._state = STOPPING
        # The last worker to stop takes what the kernel has accepted: nobody else may hold the socket then.
        self._actions.append(Close())
        for worker in sorted(self.workers.values(), key=lambda each: each.state != STARTING):
            self._end(worker, how, now)

    def _prove(self) -> None:
        self._reloading = True
        self._again = False
        self._actions.append(Prove(self.generation + 1))

    def _refuse(self, reason: str, now: float) -> None:
        """Give the workers of the next generation up."""
        self._next_terms = None
        self._dismiss(self._next(), now)
        self._end_reload(reason)

    def _end_reload(self, reason: str) -> None:
        self._reloading = False
        if reason:
            self._say("error", f"reload refused, the old code goes on serving: {reason}")
        else:
            self._say("info", f"reloaded: generation {self.generation}")
        self._actions.append(EndReload(reason))
        if self._again:
            self._prove()

    def _extends(self) -> bool:
        """Return whether the service manager has to wait for the application to be loaded."""
        until = self._began + self._terms.start_timeout
        return self._state == SERVING and not self._answers and self._extend_at < until

    def _say(self, level: str, text: str) -> None:
        self._actions.append(Say(level, text))

    def _tell(self, *lines: str) -> None:
        self._actions.append(Tell(lines))
