"""The exported units under a real systemd."""

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher.testing.client import Answer, request
from launcher.testing.serving import free_address, wait_for
from tests.machine import SERVERS

from .lab import Lab

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

LOAD_CLIENTS = 4
PROGRAM = "/opt/polls/venv/bin/python"


class Site:
    """One exported site, started."""

    def __init__(self, lab: Lab, server: str, name: str = "") -> None:
        self.lab = lab
        self.server = server
        self.name = name or f"polls-{server}"
        self.address = free_address()
        self.unix = f"unix:{lab.path(f'/run/{self.name}.sock')}"

    @property
    def service(self) -> str:
        return f"{self.name}.service"

    @property
    def database(self) -> str:
        return f"--env=DJANGO_DATABASE=/var/lib/{self.name}/db.sqlite3"

    def export(self, *words: str, status: int = 0) -> str:
        """Run `serve export systemd` as an administrator would."""
        workers = ["--workers=2"] if self.server in ("gunicorn", "uwsgi") else []
        return self.lab.run(
            PROGRAM, "-P", "-m", "launcher", "export", "systemd", "--profile=prod", f"--server={self.server}", f"--name={self.name}",
            f"--bind={self.address}", f"--bind=unix:/run/{self.name}.sock", "--env-file=/etc/polls.env",
            *workers, *words,
            cwd="/opt/polls/site", status=status,
        )  # fmt: skip

    def ask(self, target: str, address: str = "") -> Answer:
        return request(address or self.address, target)

    def shown(self, name: str) -> str:
        return self.lab.shown(self.service, name)[name]


@contextmanager
def installed(lab: Lab, server: str) -> Iterator[Site]:
    """Export and start a site; in the end it stops cleanly."""
    site = Site(lab, server)
    written = site.export(site.database, "--output=/etc/systemd/system").split()
    state = lab.path(f"/var/lib/{site.name}")
    state.mkdir(exist_ok=True)
    shutil.copy(lab.path("/opt/polls/site/db.sqlite3"), state)
    lab.systemctl("daemon-reload")
    try:
        lab.systemctl("enable", "--now", f"{site.name}.socket", site.service)
        yield site
        lab.systemctl("stop", f"{site.name}.socket", site.service)
        assert site.shown("Result") == "success", lab.journal()
        assert site.shown("ActiveState") == "inactive", lab.journal()
        assert not lab.path(f"/run/{site.name}.sock").exists()
        assert not lab.path(f"/run/serve-{site.name}").exists()
    finally:
        lab.systemctl("disable", "--now", f"{site.name}.socket", site.service, status=None)
        for path in written:
            lab.path(path).unlink()
        lab.systemctl("daemon-reload")


@pytest.mark.parametrize("server", SERVERS)
def test_exported_units(server: str, lab: Lab) -> None:
    with installed(lab, server) as site:
        units = [f"/etc/systemd/system/{site.name}.{kind}" for kind in ("service", "socket")]
        assert said_by_verify(lab, *units) == ""
        assert exposure(lab, units[0]) <= 1.2
        assert site.shown("SubState") == "running"
        assert site.shown("StatusText") != "" or server in ("waitress", "wsgiref")
        for address in (site.address, site.unix):
            assert "polls" in site.ask("/polls/", address).body.decode()
        assert site.ask("/admin/login/").status == 200
        who = site.ask("/whoami/").json()
        assert who["settings"] == "mysite.settings.prod"
        assert site.export(site.database, "--check") == ""
        # An administrator's shell finds the record of the server; reload and stop do as well.
        shown = lab.run(PROGRAM, "-P", "-m", "launcher", "status", "--profile=prod", cwd="/opt/polls/site", status=None)
        assert site.shown("MainPID") in shown
        restarted_under_load(site)
        started_by_a_request(site)
        replaced_when_it_is_killed(site)


def said_by_verify(lab: Lab, *units: str) -> str:
    return lab.run("sh", "-c", f"systemd-analyze verify --recursive-errors=yes {' '.join(units)} 2>&1")


def exposure(lab: Lab, unit: str) -> float:
    text = lab.run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", text)
    assert found, text
    return float(found[1])


def restarted_under_load(site: Site) -> None:
    """Restart the service while clients open one connection after the other: nobody is refused or cut off."""
    answered = [0] * LOAD_CLIENTS
    failures: list[str] = []
    done = threading.Event()

    def visit(number: int) -> None:
        while not done.is_set():
            try:
                status = site.ask("/polls/").status
            except OSError as error:
                failures.append(repr(error))
            else:
                answered[number] += 1
                if status != 200:
                    failures.append(f"status {status}")

    def wait_for_all(when: str) -> None:
        before = list(answered)
        wait_for(lambda: all(now > then for now, then in zip(answered, before, strict=True)), f"answers {when}")

    clients = [threading.Thread(target=visit, args=(number,)) for number in range(LOAD_CLIENTS)]
    for client in clients:
        client.start()
    try:
        for _ in range(2):
            wait_for_all("before the restart")
            main = site.shown("MainPID")
            site.lab.systemctl("restart", site.service)
            assert site.shown("MainPID") != main
            wait_for_all("after the restart")
    finally:
        done.set()
        for client in clients:
            client.join()
    assert not failures, f"{failures[:5]} of {sum(answered)}\n{site.lab.journal()}"


def started_by_a_request(site: Site) -> None:
    # A service that is stopped makes systemctl say that its socket may start it again.
    site.lab.systemctl("stop", site.service)
    assert site.shown("ActiveState") == "inactive"
    assert site.ask("/polls/").status == 200
    assert site.shown("ActiveState") == "active"


def replaced_when_it_is_killed(site: Site) -> None:
    main = site.shown("MainPID")
    site.lab.systemctl("kill", "--signal=KILL", "--kill-who=main", site.service)
    # Until systemd has killed them too, workers accept and die with what they accepted.
    wait_for(lambda: site.shown("MainPID") != main, "the end of the main process")
    assert site.ask("/polls/").status == 200
    wait_for(lambda: site.shown("ActiveState") == "active", "the service")
    assert int(site.shown("NRestarts")) == 1


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
def test_a_site_that_is_mended_comes_back_by_itself(server: str, lab: Lab) -> None:
    secret = lab.path("/etc/polls.env")
    with installed(lab, server) as site:
        lab.systemctl("stop", site.service)
        text = secret.read_text()
        secret.write_text("")
        try:
            lab.systemctl("start", "--no-block", site.service)
            wait_for(lambda: int(site.shown("NRestarts")) > 1, "failed starts")
        finally:
            secret.write_text(text)
        # Nobody was refused meanwhile.
        assert site.ask("/polls/").status == 200


def test_the_secret_is_in_no_unit_and_no_command_line(lab: Lab) -> None:
    with installed(lab, "waitress") as site:
        assert "LoadCredential=env-1:/etc/polls.env" in site.export()
        pid = int(site.shown("MainPID"))
        text = lab.systemctl("cat", site.service) + lab.systemctl("show", site.service)
        text += lab.run("cat", f"/proc/{pid}/cmdline")
        assert "a-long-secret" not in text


def test_sites_of_a_template_share_code_and_nothing_else(lab: Lab) -> None:
    site = Site(lab, "waitress", "tenants")
    written = site.export("--output=/etc/systemd/system", "--with=template=yes").split()
    units = [f"{site.name}@{which}.{kind}" for which in ("one", "two") for kind in ("socket", "service")]
    environment = lab.path(f"/etc/{site.name}")
    environment.mkdir()
    for which in ("one", "two"):
        state = f"/var/lib/{site.name}/{which}"
        lab.path(state).mkdir(parents=True, exist_ok=True)
        shutil.copy(lab.path("/opt/polls/site/db.sqlite3"), lab.path(state))
        text = f"DJANGO_DATABASE={state}/db.sqlite3\nPOLLS_BANNER=Site-{which}\n"
        (environment / f"{which}.env").write_text(text)
    try:
        assert said_by_verify(lab, *written) == ""
        lab.systemctl("daemon-reload")
        lab.systemctl("enable", "--now", *units)
        for which in ("one", "two"):
            address = f"unix:{lab.path(f'/run/{site.name}/{which}.sock')}"
            assert f"Site-{which}" in site.ask("/polls/", address).body.decode()
            assert lab.shown(f"{site.name}@{which}.service", "SubState")["SubState"] == "running"
        users = {(lab.path(f"/proc/{main_pid(lab, unit)}").stat()).st_uid for unit in units if unit.endswith("service")}
        assert len(users) == 2
        assert 0 not in users
    finally:
        lab.systemctl("disable", "--now", *units, status=None)
        for path in written:
            lab.path(path).unlink()
        shutil.rmtree(environment)
        lab.systemctl("daemon-reload")


def main_pid(lab: Lab, unit: str) -> str:
    return lab.shown(unit, "MainPID")["MainPID"]


def test_a_changed_unit_is_shown(lab: Lab, tmp_path: Path) -> None:
    site = Site(lab, "gunicorn")
    site.export("--output=/run")
    assert site.export("--check=/run") == ""
    diff = site.export("--check=/run", "--graceful-timeout=7s", status=1)
    assert "-TimeoutStopSec=40s\n+TimeoutStopSec=17s\n" in diff
    assert "--graceful-timeout=7s" in diff
