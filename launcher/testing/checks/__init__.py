"""Live checks, one module for each group of options."""

from collections.abc import Mapping

from ..kit import Check
from . import application, listening, logs, process, recycling, requests, timeouts, tls, workers

CHECKS: tuple[Check, ...] = (
    *application.CHECKS,
    *listening.CHECKS,
    *workers.CHECKS,
    *timeouts.CHECKS,
    *recycling.CHECKS,
    *process.CHECKS,
    *tls.CHECKS,
    *requests.CHECKS,
    *logs.CHECKS,
)

UNOBSERVABLE: Mapping[str, str] = {}
"""Option -> why nobody outside can see whether it is honoured."""
