"""Clients that never stop asking, and note every answer: half on fresh connections, half on kept ones."""

import http.client
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple


class Asked(NamedTuple):
    """One request."""

    began: float
    """Seconds, as time.monotonic counts them."""
    took: float
    nominal: float
    """What the application itself takes, in seconds."""
    body: str
    error: str


class Load:
    """Clients in threads, from `with` to its end."""

    def __init__(self, port: int, clients: int = 8, slow_every: int = 10) -> None:
        self.port = port
        self.asked: list[Asked] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number % 2 == 0, slow_every, number)) for number in range(clients)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, fresh: bool, slow_every: int, number: int) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            number += 1
            milliseconds = 20 if number % slow_every else 1000
            began = time.monotonic()
            body = error = ""
            kept = connection is not None
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request("GET", f"/{milliseconds}", headers={"Connection": "close"} if fresh else {})
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status != 200:
                    error = f"status {answer.status}"
                if fresh or answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as problem:
                if connection is not None:
                    connection.close()
                connection = None
                if kept and isinstance(problem, http.client.RemoteDisconnected):
                    continue  # an idle kept connection was closed: every client asks again
                error = repr(problem)
            self.asked.append(Asked(began, time.monotonic() - began, milliseconds / 1000, body, error))
            if error:
                time.sleep(0.01)

    def failed(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.error]

    def longest_added(self, windows: Sequence[tuple[float, float]]) -> float:
        """Return the longest that an answer took beyond its nominal time, of those under way in one of these times."""
        return max(
            (
                asked.took - asked.nominal
                for asked in self.asked
                if not asked.error
                and any(asked.began < end and asked.began + asked.took > begin for begin, end in windows)
            ),
            default=0.0,
        )
