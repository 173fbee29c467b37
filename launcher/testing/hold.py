"""Requests that stay in flight until a check lets them go."""

import errno
import os
from pathlib import Path
from urllib.parse import quote

from .client import Client
from .serving import Serving, wait_for


class Hold:
    """A FIFO that the kit's application reads on the path `/hold`. Any user may."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / f"hold-{os.urandom(4).hex()}"
        os.mkfifo(self.path)
        self.path.chmod(0o666)
        self._writer = -1

    @property
    def target(self) -> str:
        return f"/hold?path={quote(str(self.path))}"

    def begun(self) -> bool:
        """Return whether the request has reached the application."""
        if self._writer < 0:
            try:
                self._writer = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                assert error.errno == errno.ENXIO, error  # nobody reads
        return self._writer >= 0

    def release(self) -> None:
        """Let the application answer; it must have begun."""
        os.write(self._writer, b"x")
        os.close(self._writer)


def held(serving: Serving, directory: Path) -> tuple[Client, Hold]:
    """Send a request and wait until the application has it."""
    hold = Hold(directory)
    client = serving.client()
    client.get(hold.target)
    wait_for(hold.begun, "the request to reach the application")
    return client, hold
