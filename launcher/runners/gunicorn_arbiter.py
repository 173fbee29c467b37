"""gunicorn's main process with a life cycle that cannot hurt: see docs/decisions/0007-gunicorn-life.md.

Facts: gunicorn 27.0.1, held by live tests. It says READY before a worker can answer; stops the old workers of a
reload when the new ones have not begun to load; ends, with all that serve, when one worker cannot load.
"""

import os
import select
import signal
import sys
import time
from types import FrameType
from typing import Any, ClassVar

from gunicorn import arbiter, systemd
from gunicorn.app.base import BaseApplication
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger

from .. import instance
from ..application import DEVELOP
from ..board import LEAVING, READY, STARTING, Board
from ..errors import Exit
from ..loading import LOADING_S, WAITING_S
from ..sockets import FIRST_DESCRIPTOR, SOCKETS_STAY
from ..supervise.pace import Pace
from ..supervise.terms import MOST_DEATHS
from ..systemd import tell
from . import before_fork
from .gthread import STOP, Worker
from .gunicorn import parameters
from .gunicorn_ledger import Ledger
from .gunicorn_place import Place
from .gunicorn_reload import Renewal
from .gunicorn_succession import Succession, inherit
from .gunicorn_watch import Watch

QUICK_S = 1
"""What SIGINT leaves to the requests in flight, in seconds."""
REST_S = 30.0
NEVER = -1
"""No exit status that a process can have."""


class Interrupted(SystemExit):
    """Raised where new code is loaded in the main process when a signal tells it to stop."""


class Arbiter(arbiter.Arbiter):
    """Counts the workers that are not about to be replaced; when enough of these are ready, the others may go."""

    WORKERS: ClassVar[dict[int, Worker]]  # type: ignore[assignment]  # the class is a setting
    log: Logger

    def __init__(self, app: BaseApplication) -> None:
        self.directory = os.environ.get(instance.VARIABLE)
        # From gunicorn, whose READY comes too early, and from the workers.
        self.environ = {name: os.environ.pop(name) for name in ("NOTIFY_SOCKET",) if name in os.environ}
        self.board = Board.of(self.directory)
        self.generation = 1
        self.renewal: Renewal | None = None
        self.again = False
        """Whether a reload was asked for while there was one."""
        self.stopping = False
        self._stop_at: float | None = None
        self.pace = Pace()
        self._succession = inherit()
        self._loading = False
        """Whether the new code of a reload is being loaded here."""
        self.watch = Watch(self.tell, announced=self._succession is not None)
        if self._succession is not None:
            self._go_on(self._succession)
        else:
            self.ledger = Ledger()
            self.hearing, self.bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if app.cfg.preload_app:
            self.watch.extend(WAITING_S)  # it says nothing meanwhile
        super().__init__(app)

    def _go_on(self, succession: Succession) -> None:
        """Take over what the arbiter left that was here before."""
        self.ledger = Ledger(succession.ledger)
        self.hearing, self.bell = succession.bell
        workers = succession.adopt(self, self.ledger)
        self.WORKERS.update({worker.pid: worker for worker in workers})
        self.again = succession.again
        self.renewal = Renewal(self, succession.reload)
        self.generation = succession.reload["generation"] - 1
        self.renewal.replace([worker for worker in workers if not worker.told])

    def tell(self, *lines: str) -> None:
        """Tell systemd, if it asked."""
        tell(*lines, environ=self.environ)

    def setup(self, app: BaseApplication) -> None:
        own = before_fork.socket_descriptors() if app.cfg.preload_app else ()
        self._load(app)
        if app.cfg.preload_app:
            before_fork.make_ready(own, self.log.warning)
        if DEVELOP in os.environ and "--timeout" not in sys.argv:
            self.timeout = 0  # nobody asked for gunicorn's own, for which it looks at its workers every second

    def _load(self, app: BaseApplication) -> None:
        if self._succession is None:
            for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + systemd.listen_fds(unset_environment=False)):
                os.set_inheritable(descriptor, False)  # a program that the application starts would keep the address
            super().setup(app)
            return
        app.cfg.set("preload_app", False)
        super().setup(app)
        app.cfg.set("preload_app", True)
        assert self.renewal is not None
        for number in self.SIGNALS:
            signal.signal(number, self.signal)
        signal.signal(signal.SIGCHLD, self.signal_chld)
        self._loading = True
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [*self.SIGNALS, signal.SIGCHLD])
            app.wsgi()
            self._loading = False
        except Interrupted:
            self.renewal.fail("the server was told to stop meanwhile")
        except (Exception, SystemExit) as error:
            self._loading = False
            self.renewal.fail("the main process cannot load the new code; the log says why")
            if not isinstance(error, SystemExit):
                self.log.exception("The application cannot be loaded")
        self.watch.resume()

    def take_settings(self) -> None:
        """Work with what the application was told last."""
        self.setup(self.app)
        log: Any = self.log
        if log.cfg is not self.cfg:
            log.setup(self.cfg)  # gunicorn 25.1 leaves the log level as it was
        log.reopen_files()

    def start(self) -> None:
        if self._succession is not None:
            self.worker_age = self._succession.age
            self._succession.listen(self)
            self._succession = None
        super().start()

    # The loop

    def init_signals(self) -> None:
        super().init_signals()
        # gunicorn 27.0.1 waits for its queue, which only signals fill.
        signal.set_wakeup_fd(self.bell, warn_on_full_buffer=False)

    def signal(self, sig: int, frame: FrameType | None) -> None:
        if self.stopping and sig == signal.SIGTERM:
            sig = signal.SIGINT  # told twice: `stop` looks for this one
        super().signal(sig, frame)
        if self._loading and sig in STOP:
            self._loading = False
            raise Interrupted  # for the loop, which finds the signal, to come

    def wait_for_signals(self, timeout: float | None = 1.0) -> list[int]:
        """Wait for a signal, a worker's bell, or the verdict on new code."""
        if timeout and DEVELOP in os.environ and not self.timeout:
            timeout = REST_S  # whatever happens rings
        now = time.monotonic()
        times = [self.watch.due, self._stop_at, self.pace.start_at if self.pace.start_at > now else None]
        until = min([now + (timeout or 0.0), *(at for at in times if at is not None)])
        readable = [self.hearing]
        if self.renewal is not None and (descriptor := self.renewal.fileno()) is not None:
            readable.append(descriptor)
        if self.hearing in select.select(readable, [], [], max(0.0, until - now))[0]:
            os.read(self.hearing, 65536)
        signals: list[int] = super().wait_for_signals(0)
        return signals

    def manage_workers(self) -> None:
        """Do what is due: gunicorn calls this at the start, and whenever it has waited."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            raise StopIteration
        ready = {entry.pid for entry in self.board.entries() if entry.state == READY}
        self.watch.look(self.board, self.generation)
        if self.renewal is not None:
            self._renew(ready)
        self._replace(ready)

    def _renew(self, ready: set[int]) -> None:
        assert self.renewal is not None
        if self.renewal.go_on(ready):
            self.renewal = None
            if self.again:
                self.again = False
                self.handle_hup()

    def _replace(self, ready: set[int]) -> None:
        """Have as many workers as are wanted, and dismiss the others when these are ready."""
        staying = self.staying()
        if len(staying) == len(self.WORKERS) and (worn := [each for each in staying if each.place.worn()]):
            worn[0].going = True  # one after the other
            staying.remove(worn[0])
        for worker in staying[: max(0, len(staying) - self.num_workers)]:
            worker.going = True
            staying.remove(worker)
        if time.monotonic() >= self.pace.start_at:
            # The first one alone: what cannot be loaded is said once, and what can is ready sooner.
            wanted = self.num_workers if self.ledger.served() else min(1, self.num_workers)
            for _ in range(wanted - len(staying)):
                if not self.spawn_worker():
                    break
        if sum(worker.pid in ready for worker in staying) >= self.num_workers:
            for worker in self.WORKERS.values():
                if worker.going:
                    self.dismiss(worker)

    def staying(self) -> list[Worker]:
        """Return the workers that are not about to be replaced, the oldest first."""
        return sorted((each for each in self.WORKERS.values() if not each.going), key=lambda each: each.age)

    def dismiss(self, worker: Worker) -> None:
        """Tell a worker to finish what it has, and go."""
        worker.going = True
        if not worker.told:
            worker.told = True
            self.kill_worker(worker.pid, signal.SIGTERM)

    def spawn_worker(self) -> int:
        """Return the process of a new worker; 0 where there is no room for it while others serve."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
        pid = 0
        try:
            pid = super().spawn_worker()
        except (OSError, RuntimeError) as error:
            if os.getpid() != self.pid or not self.ledger.served():
                raise
            self._mourn(f"No worker can be made: {error}")
        finally:
            if os.getpid() == self.pid:  # a worker that ends comes by here too
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    # Workers; the hooks call these

    @property
    def WORKER_BOOT_ERROR(self) -> int:  # type: ignore[override]  # gunicorn's is a constant
        """Return the exit status of a worker that ends the server: once one has served, none does."""
        return NEVER if self.ledger.served() else arbiter.Arbiter.WORKER_BOOT_ERROR

    @property
    def APP_LOAD_ERROR(self) -> int:  # type: ignore[override]  # likewise
        """Return the other one."""
        return NEVER if self.ledger.served() else arbiter.Arbiter.APP_LOAD_ERROR

    def reap_workers(self) -> None:
        if DEVELOP in os.environ and not self.ledger.served():
            self._tell_failures()
        super().reap_workers()

    def _tell_failures(self) -> None:
        """Leave it to the development loop to say why no worker can serve, and to try again."""
        for pid in list(self.WORKERS):
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or self.stopping:
                continue
            self.log.error_log.disabled = True
            status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            if status != Exit.TARGET:  # with this one it has said why
                from .. import user_code

                user_code.tell(user_code.sudden_end(status))

    def give_place(self, worker: Worker) -> None:
        """Prepare a worker that is about to be forked."""
        taken = {each.place.row for each in self.WORKERS.values()}
        row = next(row for row in range(len(taken) + 1) if row not in taken)
        self.ledger.clear(row)
        worker.place = Place(self.board, self.ledger, row, self.generation, self.bell)

    def take_place(self, worker: Worker) -> None:
        """Note that a worker has ended."""
        entry = self.board.entry(worker.place.row)
        state, lasted_s = STARTING, 0.0
        if entry.pid == worker.pid:
            state, lasted_s = entry.state, time.monotonic() - entry.since
        self.board.clear(worker.place.row)
        if worker.told or self.stopping or state == LEAVING:
            return
        if state == READY:
            self._mourn(f"Worker (pid:{worker.pid}) ended {lasted_s:.2f} s after it was ready", lasted_s)
        elif self.renewal is None or not self.renewal.lose(worker):
            if lasted_s >= LOADING_S and not self.ledger.served():
                raise HaltServer(f"The application was not loaded within {LOADING_S:g} s", Exit.TARGET)
            self._mourn(f"Worker (pid:{worker.pid}) ended before it was ready")

    def _mourn(self, what: str, ready_s: float = 0.0) -> None:
        """Note that there is a worker too few, and for how long."""
        pause = self.pace.mourn(time.monotonic(), ready_s)
        if not self.ledger.served() and self.pace.deaths >= (1 if DEVELOP in os.environ else MOST_DEATHS):
            raise HaltServer("No worker becomes ready: each ended while it loaded the application", Exit.NOT_READY)
        if pause:
            self.log.error("%s: the next try is in %g s", what, pause)

    # Signals

    def handle_hup(self) -> None:
        """Reload: prove the new code, start workers with it, and let the old ones finish."""
        if self.stopping:
            return
        if self.renewal is not None:
            self.again = True
            return
        self.renewal = Renewal(self)

    def handle_term(self) -> None:
        if self._stop_at is not None:
            self.handle_int()
        self.begin_stop()
        delay = parameters().get("drain_delay") or 0.0
        if delay:
            self.log.info("Serving for another %g s", delay)
        self._stop_at = time.monotonic() + delay

    def handle_int(self) -> None:
        self.cfg.set("graceful_timeout", min(QUICK_S, self.cfg.graceful_timeout))
        super().handle_int()

    def handle_usr2(self) -> None:
        self.log.error("SIGUSR2 is refused: SIGHUP brings new code, and a new gunicorn wants a restart")

    def begin_stop(self) -> None:
        """Say that the server is to stop, and begin nothing new."""
        if not self.stopping:
            self.stopping = True
            instance.drain(os.environ)
            self.tell("STOPPING=1", "STATUS=stopping")
            if self.renewal is not None:
                self.renewal.stop()
                self.renewal = None

    def stop(self, graceful: bool = True) -> None:
        self.begin_stop()
        if not os.environ.get(SOCKETS_STAY):
            self.ledger.stop()
        super().stop(graceful)
