"""The main process of a gunicorn with `preload`, started again in its place when new code is loaded.

What it has imported it cannot forget. So it runs its new command by exec: the same process id, the same children, and
of its descriptors those that this module carries over.
"""

import json
import os
import signal
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from gunicorn import sock
from gunicorn.workers.workertmp import WorkerTmp

from . import streams
from .gthread import Worker
from .gunicorn_ledger import Ledger
from .gunicorn_place import Place
from .reload import Reload

if TYPE_CHECKING:
    from .gunicorn_arbiter import Arbiter

VARIABLE = "LAUNCHER_GUNICORN_SUCCESSION"
"""Environment variable with a JSON object: what the arbiter that was here leaves to the next."""


class Succession(NamedTuple):
    """What is carried over. Workers are lists: pid, age, row, generation, descriptor of the heartbeat, told to go."""

    reload: dict[str, Any]
    listeners: list[int]
    ledger: int
    bell: tuple[int, int]
    """For reading, for writing."""
    age: int
    """Of the last worker that was made."""
    again: bool
    workers: list[list[int]]

    def adopt(self, arbiter: "Arbiter", ledger: Ledger) -> list[Worker]:
        """Return the workers that are there, as the arbiter knows its own."""
        adopted = []
        for pid, age, row, generation, heartbeat, told in self.workers:
            worker = Worker.__new__(Worker)
            worker.pid, worker.age, worker.aborted = pid, age, False
            worker.going, worker.told = True, bool(told)
            worker.place = Place(arbiter.board, ledger, row, generation, self.bell[1])
            worker.tmp = WorkerTmp.__new__(WorkerTmp)
            vars(worker.tmp)["_tmp"] = os.fdopen(heartbeat, "w+b", 0)
            adopted.append(worker)
        return adopted

    def listen(self, arbiter: "Arbiter") -> None:
        """Have the arbiter listen where the one before did."""
        if self.listeners:
            # Those that were passed in, which the command names, have other numbers by now.
            arbiter.cfg.set("bind", [each for each in arbiter.cfg.bind if not each.startswith("fd://")])
            arbiter.LISTENERS[:] = sock.create_sockets(arbiter.cfg, arbiter.log, self.listeners)
            arbiter.systemd = True  # the files of unix sockets are not gunicorn's to remove

    def descriptors(self) -> list[int]:
        return [*self.listeners, self.ledger, *self.bell, *(worker[4] for worker in self.workers)]


def inherit() -> Succession | None:
    """Return what the arbiter that was here has left; None at a start."""
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    succession = Succession(**json.loads(text))
    for descriptor in succession.descriptors():
        os.set_inheritable(descriptor, False)
    return succession


def succeed(arbiter: "Arbiter", reload: Reload) -> NoReturn:
    """Become the next arbiter. Raises OSError where that cannot be, and has changed nothing then."""
    assert reload.verdict is not None
    succession = Succession(
        reload.carry(),
        [listener.fileno() for listener in arbiter.LISTENERS],
        arbiter.ledger.descriptor,
        (arbiter.hearing, arbiter.bell),
        arbiter.worker_age,
        arbiter.again,
        [
            [each.pid, each.age, each.place.row, each.place.generation, each.tmp.fileno(), each.told]
            for each in arbiter.WORKERS.values()
        ],
    )
    environ = {**os.environ, **arbiter.environ, VARIABLE: json.dumps(succession._asdict())}
    reload.verdict.apply(environ)
    # What comes meanwhile waits until the next arbiter has its handlers.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [*arbiter.SIGNALS, signal.SIGCHLD])
    try:
        for number in arbiter.wait_for_signals(0):
            os.kill(os.getpid(), number)  # its queue goes with this program
        for descriptor in succession.descriptors():
            os.set_inheritable(descriptor, True)
        streams.flush()
        os.execve(reload.verdict.argv[0], reload.verdict.argv, environ)
    finally:
        for descriptor in succession.descriptors():
            os.set_inheritable(descriptor, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
