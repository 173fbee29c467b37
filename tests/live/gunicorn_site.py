"""A site with an application that is slow to import, and what systemd would hear of it."""

import contextlib
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from launcher.board import READY, Board
from launcher.testing.serving import Serving, wait_for, write_project

APP = """
import os, time

time.sleep({import_s})
VERSION = "{version}"

def app(environ, start_response):
    path = environ["PATH_INFO"]
    seconds = {{"/slow": 1.0, "/brief": 0.02}}.get(path, 0.0)
    time.sleep(seconds)
    body = f"{{VERSION}} {{os.getpid()}} {{os.environ.get('COLOUR')}}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

BROKEN = "raise RuntimeError('broken on purpose')\n"


def application(version: str, import_s: float = 0.0) -> str:
    return APP.format(version=version, import_s=import_s)


class Site(Serving):
    """The site in a directory of its own, served by gunicorn."""

    def __init__(
        self,
        directory: Path,
        *,
        code: str = "",
        environ: Mapping[str, str] | None = None,
        ready: bool = True,
        pass_fds: tuple[int, ...] = (),
        python: str = sys.executable,
        **options: Any,
    ) -> None:
        self.options = {
            "server": "gunicorn", "app": "site_app:app", "bind": ["127.0.0.1:0"], "workers": 2, "threads": 4,
            "log_level": "info", **options,
        }  # fmt: skip
        self.project = directory
        super().__init__(
            directory,
            self.options,
            files={"site_app.py": code or application("one")},
            environ={"XDG_RUNTIME_DIR": str(directory), **(environ or {})},
            ready=ready,
            pass_fds=pass_fds,
            python=python,
        )

    def __enter__(self) -> "Site":
        super().__enter__()
        if self._ready:
            wait_for(lambda: len(self.ready()) == self.options["workers"], "all workers")
        return self

    def ready(self) -> list[int]:
        """Return the workers that can answer, and are not about to go."""
        board = next(self.project.glob("serve/serve-*/workers"), None)
        return [entry.pid for entry in Board(str(board)).entries() if entry.state == READY] if board else []

    def write(self, code: str) -> None:
        (self.project / "site_app.py").write_text(code)

    def profile(self, **options: Any) -> None:
        """Change the profile."""
        self.options |= options
        write_project(self.project, self.options, name="kit", files={})

    def reload(self) -> str:
        """Reload, which must succeed."""
        done = self.command("reload")
        assert done.returncode == 0, done.stderr + self.output
        return done.stdout

    def version(self) -> str:
        return self.request("/").body.split()[0].decode()

    def worker(self) -> int:
        return int(self.request("/").body.split()[1])


@contextlib.contextmanager
def notify_socket(directory: Path) -> Iterator[tuple[str, Callable[..., str]]]:
    """Listen as systemd does; yield the path, and a function that returns the next message, or raises TimeoutError."""
    path = str(directory / "notify")
    messages: queue.SimpleQueue[str] = queue.SimpleQueue()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        os.chmod(path, 0o666)

        def read() -> None:
            # All the time, as systemd does: a sender would wait where ten messages are unread.
            while said := sock.recv(4096):
                messages.put(said.decode())

        def receive(timeout_s: float = 30.0) -> str:
            try:
                return messages.get(timeout=timeout_s)
            except queue.Empty:
                raise TimeoutError from None

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield path, receive
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", path)
            reader.join()
