"""One worker, as its supervisor knows it: how far it is, and when it is too late."""

from .terms import Terms

STARTING, READY, LEAVING = "starting", "ready", "leaving"

NEVER = float("inf")
SLACK_S = 5.0
"""What a worker needs to end beyond the time that its requests have."""


class Worker:
    """From the moment that it is asked for to its end."""

    def __init__(self, number: int, generation: int, now: float, deadline: float) -> None:
        self.number = number
        self.generation = generation
        self.pid = 0
        """For the log only; 0 where it has yet to come of a template."""
        self.state = STARTING
        self.since = now
        """When its state began."""
        self.beat = now
        """When it was heard of last."""
        self.asked = False
        """Whether it wants to be replaced."""
        self.accepts = True
        """Whether it takes connections, once it is ready: until it says that it goes."""
        self._deadline = deadline
        """When it is killed, unless it is ready by then, or has ended."""

    def __str__(self) -> str:
        return f"worker {self.number} (pid {self.pid})" if self.pid else f"worker {self.number}"

    def ready(self, now: float) -> None:
        """Note that it is ready."""
        self.state = READY
        self.since = self.beat = now

    def leave(self, grace_s: float, now: float) -> None:
        """Note that it is to end, for which its requests have so long."""
        self.state = LEAVING
        self.since = now
        self._deadline = now + grace_s + SLACK_S

    def late_at(self, terms: Terms) -> float:
        """Return when it is killed, unless something is heard of it before."""
        if self.state != READY:
            return self._deadline
        return self.beat + terms.worker_timeout if terms.worker_timeout else NEVER

    def lateness(self, terms: Terms) -> str:
        """Return the clause that says why it is killed then."""
        if self.state == READY:
            return f"has shown no sign of life for {terms.worker_timeout:g} s"
        return f"was not ready after {terms.start_timeout:g} s" if self.state == STARTING else "did not end in time"

    def killed(self, now: float) -> None:
        """Note that it was: its end is a matter of moments."""
        self.beat = self._deadline = now + SLACK_S
