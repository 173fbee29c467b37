"""What services live through: reloads, restarts, kills and threads that are stuck."""

import time
from contextlib import ExitStack

import pytest

from launcher.testing.serving import wait_for
from tests.machine import SERVERS

from .lab import Lab
from .site import Alone, AtOneAddress, Life, Visitors, installed

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

WATCHDOG_S = 10


@pytest.mark.parametrize("words", [[], ["--preload"]], ids=["in workers", "preload"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_reload_returns_when_it_is_done(server: str, words: list[str], lab: Lab) -> None:
    site = Life(lab, server)
    with installed(site, *words):
        main = site.shown("MainPID")
        for number in (2, 3):
            site.release(number)
            lab.systemctl("reload", site.service)
            assert [site.ask("/0").body for _ in range(8)] == [b"%d" % number] * 8
        site.save("import no_such_module\n")
        lab.systemctl("reload", site.service, status=1)
        assert [site.ask("/0").body for _ in range(8)] == [b"3"] * 8
        assert site.shown("MainPID") == main
        assert site.shown("ActiveState") == "active"


@pytest.mark.parametrize(
    ("server", "kind"),
    [*((server, Alone) for server in SERVERS), ("uwsgi", AtOneAddress)],
    ids=[*SERVERS, "uwsgi at one address"],
)
def test_a_service_alone_refuses_nobody(server: str, kind: type[Alone], lab: Lab) -> None:
    """Its sockets are in the store while it is started again, whether it was told to stop or was killed."""
    site = kind(lab, server)
    with installed(site):
        assert site.exposure() <= 1.2
        with Visitors(site, "/20") as visitors:
            for _ in range(2):
                visitors.all_answered("before the restart")
                lab.systemctl("restart", site.service)
            visitors.all_answered("after the restart")
        visitors.none_turned_away()
        assert int(site.shown("NFileDescriptorStore")) == len(site.binds)
        with Visitors(site, "/20") as visitors:
            visitors.all_answered("before the end of a worker")
            main = int(site.shown("MainPID"))
            lab.run("kill", "-KILL", str(min(lab.children(main))))
            visitors.all_answered("after the end of a worker")
            assert int(site.shown("MainPID")) == main
            lab.run("kill", "-KILL", str(main))
            wait_for(lambda: site.shown("NRestarts") == "1", "the next start")
            visitors.all_answered("after the end of the main process")
        assert visitors.refused == []


def test_a_stuck_server_is_started_anew(lab: Lab) -> None:
    """All servers at once, since it takes as long as the watchdog waits. Until then none of them is started anew."""
    sites = [Life(lab, server) for server in SERVERS]
    with ExitStack() as stack:
        for site in sites:
            stack.enter_context(installed(site, f"--with=watchdog={WATCHDOG_S}s"))
        began = time.monotonic()
        while time.monotonic() < began + 1.2 * WATCHDOG_S:
            assert all(site.answers(WATCHDOG_S) for site in sites)
        assert [site.shown("NRestarts") for site in sites] == ["0"] * len(sites)
        held, stuck = [], {}
        for site in sites:
            held.append(site.wedge())
            stuck[site.server] = time.monotonic()
        back: dict[str, float] = {}
        while len(back) < len(sites):
            assert time.monotonic() < max(stuck.values()) + 5 * WATCHDOG_S, f"{back}\n{lab.journal()}"
            back |= {
                site.server: time.monotonic() - stuck[site.server]
                for site in sites
                if site.server not in back and site.answers()
            }
        assert [site.shown("NRestarts") for site in sites] == ["1"] * len(sites), lab.journal()
        assert max(back.values()) < 2 * WATCHDOG_S, back
        for client in (client for clients in held for client in clients):
            client.close()
