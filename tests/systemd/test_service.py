"""The exported units under a real systemd."""

import shutil
from pathlib import Path

import pytest

from launcher.testing.serving import wait_for
from tests.machine import SERVERS

from .lab import Lab
from .site import PROGRAM, Site, Visitors, installed, said_by_verify

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@pytest.mark.parametrize("server", SERVERS)
def test_exported_units(server: str, lab: Lab) -> None:
    with installed(Site(lab, server)) as site:
        assert site.exposure() <= 1.2
        assert site.shown("SubState") == "running"
        assert site.shown("StatusText") != ""
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


def restarted_under_load(site: Site) -> None:
    """Restart the service while clients open one connection after the other: nobody is refused or cut off."""
    with Visitors(site) as visitors:
        for _ in range(2):
            visitors.all_answered("before the restart")
            main = site.shown("MainPID")
            site.lab.systemctl("restart", site.service)
            assert site.shown("MainPID") != main
            visitors.all_answered("after the restart")
    visitors.none_turned_away()


def started_by_a_request(site: Site) -> None:
    # A service that is stopped makes systemctl say that its socket may start it again.
    site.lab.systemctl("stop", site.service)
    assert site.shown("ActiveState") == "inactive"
    assert site.ask("/polls/").status == 200
    assert site.shown("ActiveState") == "active"


def replaced_when_it_is_killed(site: Site) -> None:
    """Workers that lost their main process accept, and die with what they accepted; but nobody is refused."""
    main = site.shown("MainPID")
    with Visitors(site) as visitors:
        visitors.all_answered("before the end of the main process")
        site.lab.systemctl("kill", "--signal=KILL", "--kill-who=main", site.service)
        wait_for(lambda: site.shown("MainPID") not in (main, "0"), "the next main process")
        visitors.all_answered("after it")
    assert visitors.refused == []
    assert int(site.shown("NRestarts")) == 1


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
def test_a_site_that_is_mended_comes_back_by_itself(server: str, lab: Lab) -> None:
    secret = lab.path("/etc/polls.env")
    with installed(Site(lab, server)) as site:
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
    with installed(Site(lab, "waitress")) as site:
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
