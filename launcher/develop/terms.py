"""What the development loop works with: what is to be served, and what serves."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from .files import Interest
from .stock import Order

if TYPE_CHECKING:
    from collections.abc import Mapping


class Terms(NamedTuple):
    """What is served, as the plan has it now."""

    order: Order
    page: Order | None
    """The server of the page that says what is wrong."""
    failure: Mapping[str, Any] | None
    """Why there is nothing to serve: settings that cannot be read. Any change may mend them."""
    interest: Interest
    warm: bool
    ahead: bool
    """Whether a server may stand by: it is not to be noticed before it loads the application."""
    checks: Order | None
    graceful_s: float
    url: str
    """To be opened in a browser at the first answer; empty where it is not."""


class Running(NamedTuple):
    """A server that was started."""

    pid: int
    notices: socket.socket
    began: float
    began_ns: int
    """Wall clock."""
    paths: tuple[str, ...]
    cold: str
    """Why it was not started warm; empty where it was."""
    page: bool
    """Whether it only says what is wrong."""

    def says(self) -> list[str]:
        """Return the lines that it has sent to its notices; none where it has not."""
        try:
            return self.notices.recv(4096).decode(errors="replace").splitlines()
        except BlockingIOError:
            return []
