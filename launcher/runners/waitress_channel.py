"""A connection of waitress, and how long its client may be silent."""

import socket
import time
from contextlib import suppress
from typing import Any

# waitress 3.0.2 ships no types.
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]

from .inbox import has_input
from .waitress_http import Parser, Task

OUTPUT = object()


class Limits:
    """How long connections may be silent, in seconds; a stop changes the rules for all of them."""

    def __init__(self, client_timeout: float, keepalive: float) -> None:
        self.client_timeout = client_timeout
        self.keepalive = keepalive
        self.draining = False
        self.first_request = client_timeout

    def drain(self, next_request: float, first_request: float) -> None:
        """Wait hardly any longer for requests that nobody has begun to send."""
        self.draining = True
        self.keepalive = min(self.keepalive, next_request)
        self.first_request = min(self.client_timeout, first_request)

    def overdue(self, channel: "Channel", now: float) -> bool:
        """Return whether we have waited for this client long enough."""
        silent_s = now - channel.last_activity
        if channel.total_outbufs_len:
            # Output is there a moment before the first attempt to send it: that is no silence of the client.
            return min(silent_s, channel.watched(OUTPUT, now)) > self.client_timeout
        if channel.requests:
            channel.watched(None, now)
            return False
        if channel.request is not None:
            # A head that trickles in has this time in all, a body for each of its pieces.
            head_s = channel.watched(channel.request, now) if not channel.request.headers_finished else 0.0
            return max(silent_s, head_s) > self.client_timeout
        channel.watched(None, now)
        if channel.answered:
            return silent_s > self.keepalive
        return silent_s > self.first_request


class Channel(HTTPChannel):  # type: ignore[misc]  # without types it is Any
    """A connection that knows what is waited for."""

    request: Any
    requests: list[Any]
    total_outbufs_len: int

    parser_class = Parser
    task_class = Task
    answered = False
    """Whether it has had a request that was complete."""
    _watched: object = None
    _watched_since = 0.0

    @property
    def last_activity(self) -> float:
        """When the client was heard of last (monotonic)."""
        return self._heard_at

    @last_activity.setter
    def last_activity(self, now: float) -> None:
        # waitress 3.0.2 goes by the wall clock: to all clients an hour would pass when that is put forward.
        self._heard_at = time.monotonic()

    def service(self) -> None:
        self.answered = True
        self.server.tally.add()
        super().service()

    def handle_close(self) -> None:
        if self.socket is not None:  # waitress 3.0.2 may close twice
            # close() alone would not tell the client, where a process that the application has forked holds it open.
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
        super().handle_close()

    def watched(self, thing: object, now: float) -> float:
        """Return for how many seconds this has been what is waited for, as far as anybody looked."""
        if thing is not self._watched:
            self._watched, self._watched_since = thing, now
        return now - self._watched_since

    @property
    def asks(self) -> bool:
        """Whether the client has just begun to send the request that it was expected to."""
        return not self.busy and has_input(self.socket)

    @property
    def busy(self) -> bool:
        """Whether something of a request or its answer is here."""
        return bool(self.requests or self.request is not None or self.total_outbufs_len)
