"""How soon a worker is made again after one that should not have ended."""

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 30.0
STEADY_S = 10.0
"""A worker that has been ready for so long has nothing to do with the deaths before it."""


class Pace:
    """The ends of workers that follow each other, and the pauses between them; times are the caller's, in seconds."""

    def __init__(self) -> None:
        self.deaths = 0
        """In a row."""
        self.start_at = 0.0
        """When a worker may be made again."""

    def mourn(self, now: float, ready_s: float = 0.0) -> float:
        """Note the end of a worker, which had been ready for so long; return how long no other is made."""
        self.deaths = 1 if ready_s >= STEADY_S else self.deaths + 1
        # The first is replaced at once: an accident should cost nobody anything.
        delay = 0.0 if self.deaths == 1 else min(FIRST_DELAY_S * 2 ** min(self.deaths - 2, 9), LONGEST_DELAY_S)
        self.start_at = now + delay
        return delay
