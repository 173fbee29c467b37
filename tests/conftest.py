"""What every test shares."""

import signal

import pytest
from hypothesis import HealthCheck, settings

# Machines are slow and shared: that an example took long says nothing about the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# Shells have what runs in the background ignore SIGINT, and every server that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the outputs of the golden corpus anew")
