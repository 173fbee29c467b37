"""A reload of gunicorn, without a moment in which its main process waits."""

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..loading import WAITING_S
from ..supervise.pace import Pace
from .gunicorn_succession import succeed
from .reload import Reload, Verdict

if TYPE_CHECKING:
    from .gthread import Worker
    from .gunicorn_arbiter import Arbiter

MODULE = "launcher.runners.gunicorn"


class Renewal:
    """One reload of an arbiter: `go_on` does what can be done now."""

    def __init__(self, arbiter: "Arbiter", carried: Mapping[str, Any] | None = None) -> None:
        """Begin one, or go on with one that the arbiter which was here before has `carried` so far."""
        self._arbiter = arbiter
        if carried is None:
            self._reload = Reload(arbiter.directory, arbiter.generation + 1, arbiter.environ)
        else:
            self._reload = Reload.resume(carried, arbiter.environ)
        self._settings: Settings | None = None
        """What was before; None where nothing can be taken back."""
        self._replaced: list[Worker] | None = None
        """Who serves until the new ones do; None while the code is being proven."""
        self._failure = ""
        self._until = 0.0

    def fileno(self) -> int | None:
        """Return what becomes readable when `go_on` should be called."""
        return self._reload.fileno() if self._reload.verdict is None else None

    def go_on(self, ready: set[int]) -> bool:
        """Go as far as possible; return whether the reload is over. `ready` are the pids of workers that are."""
        if self._replaced is None:
            verdict = self._reload.poll()
            if verdict is None:
                return False
            if not verdict.ok:
                return self._end(verdict.reason)
            return self._succeed() if self._arbiter.cfg.preload_app else self._begin(verdict)
        late = time.monotonic() > self._until and not self._dismissed()
        if not self._failure and late:
            self._failure = f"the new workers were not ready within {WAITING_S} s"
        if self._failure:
            self._undo(self._replaced)
            return self._end(self._failure)
        if sum(worker.pid in ready for worker in self._arbiter.staying()) < self._arbiter.num_workers:
            return False
        # The arbiter dismisses the others now. Who asks after the reload is to be answered by new code alone.
        accepting = any(worker.pid in ready for worker in self._replaced)
        return False if accepting else self._end()

    def _dismissed(self) -> bool:
        """Return whether the new workers have taken over."""
        return any(worker.told for worker in self._replaced or ())

    def lose(self, worker: "Worker") -> bool:
        """Note that a worker has ended before it was ready; return whether that is this reload's affair."""
        if self._replaced is None or self._dismissed() or worker.place.generation != self._arbiter.generation:
            return False
        self.fail("a new worker ended before it was ready; the log says why")
        return True

    def stop(self) -> None:
        self._reload.stop()

    def fail(self, reason: str) -> None:
        """Note that the new code does not do."""
        self._failure = self._failure or reason

    def _succeed(self) -> bool:
        """Replace the main process too: see `gunicorn_succession`."""
        if self._arbiter.directory is None:
            return self._end("with preload there has to be the record that `serve` makes")
        self._reload.replacing()
        self._arbiter.watch.suspend(WAITING_S)
        try:
            succeed(self._arbiter, self._reload)
        except OSError as error:
            self._arbiter.watch.resume()
            return self._end(f"the main process cannot start again: {error}")

    def _begin(self, verdict: Verdict) -> bool:
        arbiter = self._arbiter
        self._settings = Settings(arbiter)
        try:
            verdict.apply(os.environ)
            if verdict.argv:
                sys.argv[1:] = verdict.argv[verdict.argv.index(MODULE) + 1 :]
            arbiter.app.reload()
            arbiter.take_settings()
        except (Exception, SystemExit) as error:
            self._settings.restore(arbiter)
            return self._end(f"gunicorn refuses the new settings: {error}")
        self._reload.replacing()
        self.replace(arbiter.staying())
        return False

    def replace(self, workers: "list[Worker]") -> None:
        """Have other workers take the place of these."""
        self._until = time.monotonic() + WAITING_S
        self._replaced = workers
        self._arbiter.pace = Pace()
        for worker in workers:
            worker.going = True
        self._arbiter.generation += 1

    def _undo(self, replaced: "list[Worker]") -> None:
        arbiter = self._arbiter
        for worker in arbiter.staying():
            arbiter.dismiss(worker)
        for worker in replaced:
            worker.going = False
        arbiter.generation -= 1
        if self._settings is not None:
            self._settings.restore(arbiter)
        else:
            arbiter.num_workers = len(replaced)

    def _end(self, reason: str = "") -> bool:
        self._reload.end(reason)
        arbiter = self._arbiter
        if reason:
            arbiter.log.error("reload refused, the old code goes on serving: %s", reason)
        else:
            arbiter.log.info("Reloaded: generation %d serves", arbiter.generation)
        return True


class Settings:
    """What a reload changes in the main process, as it was."""

    def __init__(self, arbiter: "Arbiter") -> None:
        self._argv = sys.argv[:]
        self._environ = dict(os.environ)
        self._cfg = arbiter.cfg
        self._workers = arbiter.num_workers

    def restore(self, arbiter: "Arbiter") -> None:
        sys.argv[:] = self._argv
        os.environ.clear()
        os.environ.update(self._environ)
        arbiter.app.cfg = self._cfg
        arbiter.take_settings()
        arbiter.num_workers = self._workers
