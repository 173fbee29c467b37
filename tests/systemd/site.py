"""Exported sites, installed in a lab, and clients that ask them."""

import http.client
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from launcher.testing.client import Answer, Client, request
from launcher.testing.serving import free_address, wait_for

from .lab import ROOT, Lab

PROGRAM = "/opt/polls/venv/bin/python"
CLIENTS = 4


class Site:
    """One site of the lab, exported by `serve`: the example project."""

    directory = "/opt/polls/site"
    words: Sequence[str] = ("--env-file=/etc/polls.env",)
    page = "/polls/"

    def __init__(self, lab: Lab, server: str, name: str = "") -> None:
        self.lab = lab
        self.server = server
        self.name = name or f"polls-{server}"
        self.address = free_address()
        self.path = f"/run/{self.name}.sock"

    @property
    def service(self) -> str:
        return f"{self.name}.service"

    @property
    def unix(self) -> str:
        return f"unix:{self.lab.path(self.path)}"

    @property
    def binds(self) -> Sequence[str]:
        """Where it listens, as `serve` is told."""
        return (self.address, f"unix:{self.path}")

    @property
    def database(self) -> str:
        return f"--env=DJANGO_DATABASE=/var/lib/{self.name}/db.sqlite3"

    def export(self, *words: str, status: int = 0) -> str:
        """Run `serve export systemd` as an administrator would."""
        workers = ["--workers=2"] if self.server != "wsgiref" else []
        return self.lab.run(
            PROGRAM, "-P", "-m", "launcher", "export", "systemd", "--profile=prod", f"--server={self.server}", f"--name={self.name}",
            *(f"--bind={bind}" for bind in self.binds), *workers, *self.words, *words,
            cwd=self.directory, status=status,
        )  # fmt: skip

    def prepare(self) -> Sequence[str]:
        """Put in place what the site needs; return words for the export."""
        state = self.lab.path(f"/var/lib/{self.name}")
        state.mkdir(exist_ok=True)
        shutil.copy(self.lab.path("/opt/polls/site/db.sqlite3"), state)
        return (self.database,)

    def ask(self, target: str, address: str = "") -> Answer:
        return request(address or self.address, target)

    def shown(self, name: str) -> str:
        return self.lab.shown(self.service, name)[name]

    def exposure(self) -> float:
        """Return what `systemd-analyze security` thinks of the service: 10 is the worst."""
        unit = f"/etc/systemd/system/{self.service}"
        text = self.lab.run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", text)
        assert found, text
        return float(found[1])


class Life(Site):
    """A small application whose code changes, and that can be stuck (bench/life)."""

    page = "/0"
    words: Sequence[str] = ("app:application", "--no-production", "--threads=2", "--env=LIFE_IMPORT_S=0.2")

    def __init__(self, lab: Lab, server: str, name: str = "") -> None:
        super().__init__(lab, server, name or f"life-{server}")
        self.directory = f"/opt/{self.name}"
        self.text = (ROOT / "bench" / "life" / "app.py").read_text()
        if server == "wsgiref":
            self.words = [word for word in self.words if not word.startswith("--threads")]

    def prepare(self) -> Sequence[str]:
        self.lab.path(self.directory).mkdir(exist_ok=True)
        self.save(self.text)
        return ()

    def save(self, text: str) -> None:
        self.lab.path(f"{self.directory}/app.py").write_text(text)

    def release(self, number: int) -> None:
        self.save(self.text.replace("RELEASE = 1", f"RELEASE = {number}"))

    def answers(self, soon_s: float = 1.0) -> bool:
        """Return whether an answer comes soon."""
        try:
            with Client(self.address) as client:
                client.get(self.page, "Connection: close")
                return not client.silent_for(soon_s) and client.answer().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def wedge(self) -> list[Client]:
        """Keep every thread of every worker busy; return the connections that do. Later workers are left alone."""
        clients: list[Client] = []
        unanswered = 0
        # One that waits behind stuck threads says nothing of another worker's.
        while len(clients) < 12 or unanswered < 3:
            client = Client(self.address)
            client.get(f"/wedge?{time.time()}", "Connection: close")
            clients.append(client)
            if len(clients) >= 12:
                unanswered = 0 if self.answers() else unanswered + 1
        return clients


class Alone(Life):
    """The same without a socket unit."""

    def __init__(self, lab: Lab, server: str, name: str = "") -> None:
        super().__init__(lab, server, name or f"alone-{server}")
        self.path = f"/run/{self.name}/site.sock"
        self.words = [*self.words, "--with=socket=no"]


class AtOneAddress(Alone):
    """The same at one address, where uWSGI keeps connections."""

    def __init__(self, lab: Lab, server: str) -> None:
        super().__init__(lab, server, f"one-{server}")
        self.words = [*self.words, "--keepalive=30s"]

    @property
    def unix(self) -> str:
        return self.address

    @property
    def binds(self) -> Sequence[str]:
        return (self.address,)


def said_by_verify(lab: Lab, *units: str) -> str:
    return lab.run("sh", "-c", f"systemd-analyze verify --recursive-errors=yes {' '.join(units)} 2>&1")


@contextmanager
def installed(site: Site, *words: str) -> Iterator[Site]:
    """Export and start a site; in the end it stops cleanly."""
    lab = site.lab
    written = site.export(*site.prepare(), *words, "--output=/etc/systemd/system").split()
    units = [path.rpartition("/")[2] for path in reversed(written)]
    lab.systemctl("daemon-reload")
    try:
        assert said_by_verify(lab, *written) == ""
        lab.systemctl("enable", "--now", *units)
        yield site
        lab.systemctl("stop", *units)
        assert site.shown("Result") == "success", lab.journal()
        assert site.shown("ActiveState") == "inactive", lab.journal()
        assert not lab.path(site.path).exists()
        assert not lab.path(f"/run/serve-{site.name}").exists()
    finally:
        lab.systemctl("disable", "--now", *units, status=None)
        for path in written:
            lab.path(path).unlink()
        lab.systemctl("daemon-reload")


class Visitors:
    """Clients, from `with` to its end, that open one connection after the other: half of them on the unix socket."""

    def __init__(self, site: Site, page: str = "") -> None:
        self.site = site
        self.page = page or site.page
        self.answered = [0] * CLIENTS
        self.refused: list[str] = []
        """Nobody listened."""
        self.failed: list[str] = []
        """Somebody did, and gave no good answer."""
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> "Visitors":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _visit(self, number: int) -> None:
        address = self.site.unix if number % 2 else self.site.address
        while not self._done.is_set():
            try:
                status = self.site.ask(self.page, address).status
            except (ConnectionRefusedError, FileNotFoundError) as error:
                self.refused.append(repr(error))
                time.sleep(0.01)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
            else:
                self.answered[number] += 1
                if status != 200:
                    self.failed.append(f"status {status}")

    def all_answered(self, when: str) -> None:
        """Wait until each of them has one more answer."""
        before = list(self.answered)
        wait_for(
            lambda: all(now > then for now, then in zip(self.answered, before, strict=True)),
            f"answers {when}\n{self.failed[-3:]}{self.refused[-3:]}",
            60,
        )

    def none_turned_away(self) -> None:
        found = [*self.refused, *self.failed]
        assert not found, f"{len(found)} of {sum(self.answered)}: {found[:5]}\n{self.site.lab.journal()}"
