"""What a broken application looks like on a terminal."""

from collections.abc import Mapping
from typing import Any


def failure_text(facts: Mapping[str, Any], *, colour: bool) -> str:
    """Return the message and the traceback."""
    return f"{facts['message']}\n{facts['trace']}"
