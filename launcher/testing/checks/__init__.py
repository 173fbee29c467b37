"""Live checks, one module for each group of options."""

from collections.abc import Mapping

from ...options import OPTIONS
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

UNOBSERVABLE: Mapping[str, str] = {
    name: "no backend has a part in it" for name, option in OPTIONS.items() if option.group == "development"
}
"""Option -> why nobody outside can see whether it is honoured."""
