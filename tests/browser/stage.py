"""Servers that take turns on one socket, as the development loop has them, but started by hand."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from launcher.application import VARIABLE as APPLICATION
from launcher.develop.channel import VARIABLE, Channel
from launcher.sockets import SOCKETS_STAY
from launcher.testing.client import DEADLINE_S
from launcher.testing.serving import clean_environment

SITE = "launcher.wsgi:application"
BROKEN = "launcher.develop.broken:application"


class Stage:
    """One listening socket, and at most one server on it. Who connects while there is none waits for the next."""

    def __init__(self, directory: Path, **spec: Any) -> None:
        """`directory` gets the project, whose target is `mysite:app`; `spec` is what its Spec has besides."""
        self.directory = directory
        self._spec = {"target": "mysite:app", "path": [str(directory)], "threads": 8, **spec}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Stage":
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        place = self.directory / "channel"
        place.mkdir()
        self.channel = Channel(str(place))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._socket.close()
        print((self.directory / "output").read_text(errors="replace"))

    def write(self, **modules: str) -> None:
        for name, text in modules.items():
            (self.directory / f"{name}.py").write_text(text)

    def start(self, target: str = SITE) -> None:
        """Start a server in the place of the one before, as soon as that has ended."""
        self.stop()
        descriptor = self._socket.fileno()
        command = [sys.executable, "-P", "-B", "-m", "launcher.runners.wsgiref", "--fd", str(descriptor), target]
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=self.directory, env=self._environ(), pass_fds=[descriptor], stdout=output, stderr=output
            )

    def _environ(self) -> Mapping[str, str]:
        ours = {APPLICATION: json.dumps(self._spec), VARIABLE: self.channel.directory, SOCKETS_STAY: "1"}
        return {**clean_environment(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **ours}

    def fails(self) -> None:
        """Start a server that cannot load the project, and have what it told shown."""
        self.start()
        assert self._process
        assert self._process.wait(DEADLINE_S) == 4
        self.start(BROKEN)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(DEADLINE_S)
            self._process = None
