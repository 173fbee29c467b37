"""Clients that ask all the time, and note what goes wrong."""

import threading
import time
from types import TracebackType

from tests.live.runner_process import Client

PAUSE_S = 0.01
"""Many who ask without a breath leave the server no processor to reload with."""


class Load:
    """A context manager: inside it so many clients ask for `target`, one after another.

    With `keep` every second one keeps its connection as long as the server does; the others come anew for each request.
    """

    def __init__(
        self,
        address: str,
        clients: int = 8,
        target: str = "/hello",
        *,
        keep: bool = True,
        pause_s: float = PAUSE_S,
    ) -> None:
        self.address = address
        self.target = target
        self.answers = 0
        self.bodies: set[bytes] = set()
        self.failures: list[str] = []
        self.longest_s = 0.0
        self._pause_s = pause_s
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(keep and number % 2 == 0,)) for number in range(clients)
        ]

    def _ask(self, keep: bool) -> None:
        client: Client | None = None
        while not self._over.is_set():
            began = time.monotonic()
            try:
                client = client or Client(self.address)
                answer = client.ask(self.target, *(() if keep else ("Connection: close",)))
                closes = answer.headers.get("connection") == "close"
                failure = "" if answer.status == 200 else f"{answer.status}"
                self.bodies.add(answer.body)
            except (OSError, AssertionError) as error:
                closes, failure = True, f"{type(error).__name__}: {error}"
            with self._lock:
                self.answers += 1
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                if failure:
                    self.failures.append(f"{time.strftime('%X')} {'kept' if keep else 'fresh'} {failure}")
            if closes and client:
                client.close()
                client = None
            self._over.wait(self._pause_s)
        if client:
            client.close()

    def wait_for_more(self, answers: int = 50) -> None:
        """Wait until so many more requests have been answered."""
        wanted = self.answers + answers
        end = time.monotonic() + 60
        while self.answers < wanted:
            assert time.monotonic() < end, f"{self.answers} answers in vain, {self.failures[:3]}"
            time.sleep(0.01)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
