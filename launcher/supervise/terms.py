"""What a supervisor is told of the service that its workers give."""

from ..lean import Record
from ..loading import WAITING_S

MOST_DEATHS = 5
"""So many workers in a row that die before they are ready end the service, when no other serves."""


class Terms(Record):
    """What was agreed; times are seconds, 0 is never or none."""

    workers: int = 1
    graceful_timeout: float = 30.0
    drain_delay: float = 0.0
    worker_timeout: float = 0.0
    watchdog: float = 0.0
    """How often the service manager wants to hear of us."""
    most_deaths: int = MOST_DEATHS
    start_timeout: float = WAITING_S
    """The longest time that a worker may take to load the application."""
