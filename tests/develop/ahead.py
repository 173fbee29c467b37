"""The server that stands by, as its processes show it."""

import contextlib
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launcher.testing.serving import wait_for
from tests.develop.site import Site

APP = """
import json, os, random, signal, sys
from shop import basket

def app(environ, start_response):
    umask = os.umask(0)
    os.umask(umask)
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    facts = {
        "version": str(basket.VERSION), "pid": os.getpid(), "parent": os.getppid(), "group": os.getpgrp(),
        "directory": os.getcwd(), "path": sys.path, "argv": sys.argv, "umask": umask,
        "environ": {name: value for name, value in os.environ.items() if name not in OWN},
        "signals": [str(signal.getsignal(number)).partition(" at ")[0] for number in handled],
        "random": random.random(), "handed_on": sum(map(hands_on, os.listdir("/proc/self/fd"))),
    }
    body = json.dumps(facts).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]

def hands_on(number):
    try:
        return os.get_inheritable(int(number)) and os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    except OSError:
        return False

OWN = ("NOTIFY_SOCKET", "LISTEN_PID", "LAUNCHER_WARM", "LAUNCHER_DEVELOP")
# Each server has another.
"""
SETTLED = 4
"""Processes of the loop's own: the server, the template, its process to spare, and the one that stands by.
There are more while a better template is made, and the one that stands by will be made anew with it.
"""


class Ahead(Site):
    """A site whose answers tell of the process that gives them."""

    def __init__(self, directory: Path, server: str, files: Mapping[str, str] | None = None, **options: Any) -> None:
        own = {"app.py": APP, "shop/__init__.py": "", "shop/basket.py": "VERSION = 0\n"}
        super().__init__(directory, server, files={**own, **(files or {})}, **options)

    def facts(self) -> Any:
        return json.loads(self.request("/").body)

    def shows(self, body: str) -> None:
        wait_for(lambda: f'"version": "{body}"' in self.now(), f"the version {body}")

    def standing(self) -> tuple[int, ...]:
        """Return the processes of the server that stands by, its main one first; none while there is none."""
        parents = {pid: parent_of(pid) for pid in self.tree()}
        own = [pid for pid, parent in parents.items() if parent == self.pid]
        found: list[int] = []
        for pid in own if len(own) == SETTLED else ():
            children = [other for other, above in parents.items() if above == pid]
            if all(map(waits, children or [pid])):
                found += [pid, *children]
        return tuple(found)

    def stands_by(self, workers: int = 1) -> tuple[int, ...]:
        """Wait until a server does, with so many processes that its main one has made."""

        def found() -> tuple[int, ...]:
            standing = self.standing()
            return standing if len(standing) == 1 + workers else ()

        return wait_for(found, "a server that stands by")


def parent_of(pid: int) -> int:
    """Return a process's parent, 0 for one that has ended. Source: proc_pid_stat(5)."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def waits(pid: int) -> bool:
    """Return whether a process waits for what comes by a socket. Source: proc_pid_syscall(5), x86-64 and arm64."""
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[0] in ("45", "207")
    except (OSError, IndexError):
        return False


def kill(pids: tuple[int, ...]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
