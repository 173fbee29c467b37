"""A site on uWSGI whose code tests rewrite."""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launcher.testing.serving import Serving, toml_text, wait_for

SITE = """
import os, time
from launcher.testing.application import app as kit
{before}
time.sleep({import_s})

def app(environ, start_response):
    if environ["PATH_INFO"] != "/":
        return kit(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{version} %d" % os.getpid()]
"""


REFUSED = "serve: reload refused, the old code goes on serving: "


class Site:
    """The project in `directory`: its module, and the server that serves it."""

    def __init__(self, directory: Path, *, version: int = 1, import_s: float = 0.0) -> None:
        self.directory = directory
        self.import_s = import_s
        self.options: dict[str, Any] = {
            "app": "site_of_tests:app", "server": "uwsgi", "bind": "127.0.0.1:0", "graceful_timeout": 30, "preload": False,
        }  # fmt: skip
        self.write(version)

    def write(self, version: int, before: str = "") -> None:
        """Change the code; `before` runs first when it is imported."""
        text = SITE.format(version=version, before=before, import_s=self.import_s)
        fresh = self.directory / "site.new"
        fresh.write_text(text)
        fresh.replace(self.directory / "site_of_tests.py")

    def serving(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        pass_fds: Sequence[int] = (),
        ready: bool = True,
        python: str = sys.executable,
        **options: Any,
    ) -> Serving:
        # Two saves within a second must not be told apart by the bytecode cache, which compares whole seconds.
        environ = {"PYTHONDONTWRITEBYTECODE": "1", **(environ or {})}
        self.options |= options
        return Serving(self.directory, self.options, environ=environ, pass_fds=pass_fds, ready=ready, python=python)

    def profile(self, **options: Any) -> None:
        """Change the profile of the server that runs; `None` removes a key."""
        self.options |= options
        said = {name: value for name, value in self.options.items() if value is not None}
        (self.directory / "profiles" / "kit.toml").write_text(toml_text(said))


def in_uwsgi(code: str) -> str:
    """Return a line that a proof of new code lets pass: it runs where uWSGI itself imports the application."""
    return f"if 'uwsgi' in __import__('sys').modules: {code}"


def answer(serving: Serving) -> tuple[int, int]:
    """Return the version of the code that answered, and its process."""
    version, pid = serving.request("/").body.split()
    return int(version), int(pid)


def versions(serving: Serving, requests: int = 10) -> set[int]:
    """Return the versions of the code that answer so many requests, one after another."""
    return {answer(serving)[0] for _ in range(requests)}


def workers(serving: Serving, loaded: int = 0, *, born: int = 0) -> tuple[int, ...]:
    """Return the processes beside the main one, once the application was loaded so often and so many are there."""
    wait_for(lambda: serving.output.count(") ready in ") >= loaded, "the application to be loaded")

    def there() -> tuple[int, ...]:
        return tuple(pid for pid in serving.tree() if pid != serving.pid)

    wait_for(lambda: len(there()) >= born, "the workers")
    return there()


def reload(serving: Serving, wanted: str = "serve: reloaded ") -> str:
    """Send SIGHUP, wait until the log says how it went, and return that line."""
    before = len(ours(serving))
    serving.signal(signal.SIGHUP)

    def outcome() -> list[str]:
        return [line for line in ours(serving)[before:] if line.startswith(("serve: reloaded", REFUSED))]

    wait_for(outcome, "the outcome of the reload")
    said = outcome()
    assert len(said) == 1, said
    assert said[0].startswith(wanted), serving.output
    return said[0]


def ours(serving: Serving) -> list[str]:
    """Return the lines of the log that are ours."""
    text = serving.stderr.read_text(errors="replace")
    return [line for line in text.splitlines(keepends=True) if line.startswith("serve: ") and line.endswith("\n")]
