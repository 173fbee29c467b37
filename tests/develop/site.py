"""A project of a few files, served by `serve` as a developer would, and edited meanwhile."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launcher.testing.client import Answer
from launcher.testing.serving import Serving, wait_for
from tests.machine import LIKE_ANYONE

APP = """
from shop import basket

def app(environ, start_response):
    body = f"{basket.VERSION}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Site(Serving):
    """`app.py` imports `shop/basket.py`, whose VERSION is what it answers.

    `before` are words that a shell would find before `serve`.
    """

    def __init__(
        self,
        directory: Path,
        server: str = "wsgiref",
        files: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        ready: bool = True,
        before: Sequence[str] = (),
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
        self._argv = (*before, *LIKE_ANYONE, *self._argv)

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

    def reloads(self) -> list[str]:
        """Return what was said of reloads."""
        return re.findall("reloaded in.*", self.output)

    def warmed_up(self, text: str = "VERSION = 1000\n") -> None:
        """Save a file until a start is warm."""
        for number in range(100):
            before = len(self.reloads())
            self.save(f"{text}# {number}\n")
            wait_for(lambda: len(self.reloads()) > before, "a reload")
            if "cold" not in self.reloads()[-1]:
                return
        raise AssertionError(f"no start was warm\n{self.output}")

    def knows_itself(self, name: str) -> None:
        """Save a file until a start is warm and has nothing new to tell of the application."""
        told: list[int] = []

        def settled() -> bool:
            before = len(self.reloads())
            self.save(f"# {len(told)}\n", name)
            wait_for(lambda: len(self.reloads()) > before, "a reload")
            self.request("/")
            told.extend(path.stat().st_mtime_ns for path in self.project.glob("run/*/*/learnt.json"))
            return "cold" not in self.reloads()[-1] and told[-3:].count(told[-1]) == 3

        wait_for(settled, "nothing to tell", 90)
