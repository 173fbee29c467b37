"""A project of a few files, served by `serve` as a developer would, and edited meanwhile."""

import contextlib
import http.client
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from launcher.testing.client import Answer
from launcher.testing.serving import Serving, wait_for

APP = """
from shop import basket

def app(environ, start_response):
    body = f"{basket.VERSION}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Site(Serving):
    """`app.py` imports `shop/basket.py`, whose VERSION is what it answers."""

    def __init__(
        self,
        directory: Path,
        server: str = "wsgiref",
        files: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        ready: bool = True,
        **options: Any,
    ) -> None:
        self.project = directory
        files = files or {"app.py": APP, "shop/__init__.py": "", "shop/basket.py": "VERSION = 0\n"}
        told = {"server": server, "app": "app:app", "bind": ["127.0.0.1:0"], "reload": True}
        told["graceful_timeout"] = "5s"
        if server != "uwsgi":
            told["log_level"] = "warning"
        super().__init__(
            directory,
            {name: value for name, value in {**told, **options}.items() if value is not None},
            files=files,
            environ={"XDG_RUNTIME_DIR": str(directory / "run"), **(environ or {})},
            ready=ready,
        )
        (directory / "run").mkdir()

    def save(self, text: str, name: str = "shop/basket.py") -> None:
        """Write a file as an editor does: a new one takes the old one's place."""
        path = self.project / name
        path.parent.mkdir(exist_ok=True)
        scratch = path.with_name(f".{path.name}.tmp")
        scratch.write_text(text)
        scratch.replace(path)

    def release(self, version: int) -> None:
        self.save(f"VERSION = {version}\n")

    def shows(self, body: str) -> None:
        """Wait until this is answered."""
        wait_for(lambda: self.now() == body, f"the answer {body!r}")

    def now(self) -> str:
        return self.request("/").body.decode()

    def broken(self) -> Answer:
        """Wait until an error page is served, and return it."""
        answers: list[Answer] = []

        def look() -> bool:
            answers.append(self.request("/"))
            return answers[-1].status == 500

        wait_for(look, "the error page")
        return answers[-1]

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Type `serve WORDS` beside it."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "launcher", *words, "--profile", "kit"],
            cwd=self.project,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def warmed_up(self) -> None:
        """Wait until the next start is warm."""
        for number in range(1000, 1100):
            self.release(number)
            self.shows(str(number))
            wait_for(lambda: self.output.count("reloaded in") >= 1, "a line")
            line = re.findall("reloaded in.*", self.output)[-1]
            if "cold" not in line:
                return
            time.sleep(0.1)
        raise AssertionError(f"no start was warm\n{self.output}")


class Visitors:
    """Inside, clients ask on fresh connections all the time; what fails is noted."""

    def __init__(self, site: Site, clients: int = 3) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._site = site
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(clients)]

    def _visit(self) -> None:
        while not self._over.is_set():
            try:
                answer = self._site.request("/", "Connection: close")
                if answer.status != 200:
                    self.failures.append(str(answer.status))
            except (OSError, AssertionError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self.answers += 1
            self._over.wait(0.002)

    def __enter__(self) -> "Visitors":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def descendants_end(pid: int) -> Iterator[None]:
    """Inside, a process may end; afterwards none of its session may be left."""
    from launcher.testing.serving import session_members

    yield
    wait_for(lambda: not list(session_members(pid)), "its processes to end")
