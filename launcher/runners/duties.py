"""What a worker owes its supervisor, besides answering requests."""

import os
import time
from collections.abc import Callable

from ..supervise.notices import REPLACE, Post
from .arguments import Options
from .memory import Memory

EVERY_S = 1.0
GIVE_WAY_S = 0.001
"""How long a worker that holds more connections than another lets that one accept first."""

Submit = Callable[[Callable[[], None]], None]
"""Has a thread that answers requests call something, when its turn comes."""


class Duties:
    """The worker's accounts. Its loop calls `turn` whenever it has come round, and at least once a second."""

    def __init__(self, post: Post, options: Options) -> None:
        self.requests = 0
        """How many requests were taken so far; the loop counts."""
        self._post = post
        self._began = time.monotonic()
        self._most_requests = 0
        if options.max_requests:
            # Not by `random`, which costs a start 5 ms; forked workers must not all draw the same either.
            drawn = int.from_bytes(os.urandom(8), "big") % (options.max_requests_jitter + 1)
            self._most_requests = options.max_requests + drawn
        self._max_age = options.max_worker_age
        self._max_memory = options.max_worker_memory
        self._memory = Memory() if self._max_memory else None
        self._beat_every = options.worker_timeout / 4
        self._asked = False
        self._gone = False
        self._sign_awaited = False
        self._look_at = self._sign_at = self._beat_at = 0.0

    def ready(self) -> None:
        """Tell that the application is loaded, and warm."""
        self._post.board.ready(self._post.row)
        self._post.ledger.write(self._post.row, 0)
        self._post.tell("READY=1")

    def leave(self) -> None:
        """Tell that the worker only finishes what it has."""
        self._gone = True
        self._post.board.leave(self._post.row)
        self._post.ledger.leave(self._post.row)
        self._post.tell("STOPPING=1")

    def give_way(self, held: int) -> None:
        """Call this before accepting a connection, with how many there are already."""
        self._hold(held)
        if self._post.ledger.excess(self._post.row):
            time.sleep(GIVE_WAY_S)

    def turn(self, submit: Submit, held: int) -> None:
        """Do what is due; `held` is how many connections there are."""
        now = time.monotonic()
        self._hold(held)
        if self._most_requests and self.requests >= self._most_requests:
            self._ask(f"it has had {self.requests} requests")
        if now >= self._sign_at and not self._sign_awaited:
            self._sign_at = now + self._post.sign_every
            self._sign_awaited = True
            submit(self._show)
        if self._beat_every and now >= self._beat_at:
            self._beat_at = now + self._beat_every
            self._post.tell("WATCHDOG=1")
        if now >= self._look_at:
            self._look_at = now + EVERY_S
            self._post.board.count(self._post.row, self.requests)
            if self._max_age and now - self._began >= self._max_age:
                self._ask(f"it is {now - self._began:.0f} s old")
            if self._memory and (resident := self._memory.resident()) > self._max_memory:
                self._ask(f"it has {resident / 2**20:.0f} MiB")

    def longest_wait(self) -> float:
        """Return after how many seconds the loop is to come round, whatever happens."""
        return min(EVERY_S, self._post.sign_every, self._beat_every or EVERY_S)

    def _hold(self, held: int) -> None:
        if not self._gone:
            self._post.ledger.write(self._post.row, held)

    def _show(self) -> None:
        self._post.board.show(self._post.row)
        self._sign_awaited = False

    def _ask(self, reason: str) -> None:
        if not self._asked:
            self._asked = True
            self._post.tell(f"{REPLACE}={reason}")
