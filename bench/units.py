"""The units of `serve export systemd` under load, in a systemd of their own (tests/systemd/lab.sh; it needs root).

    python -m bench.units [--restarts 20] [--only SERVER ...]

Four clients open one connection after the other, half of them on a unix socket, for requests of 20 ms; the import
takes 0.2 s.

- restart: `systemctl restart`, with a socket unit and with a service alone, whose sockets systemd stores: requests, and
  how many were refused, or cut off.
- kill -9: of a worker and of the main process; requests that it took along are cut off, and nobody may be refused.
- stuck: every thread of every worker; the seconds until the next answer, with WatchdogSec=10s and RestartSec=2s.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from launcher.testing.serving import wait_for
from tests.systemd.lab import Lab, boot, build_site, install_site
from tests.systemd.site import Alone, Life, Visitors, installed

from .measure import table

SERVERS = ("gunicorn", "uwsgi", "waitress", "wsgiref")
WATCHDOG_S = 10
PAGE = "/20"
ROUNDS = 5
"""So many answers for each client between two restarts."""


def restarted(site: Life, times: int) -> str:
    with Visitors(site, PAGE) as visitors:
        for _ in range(times):
            for _ in range(ROUNDS):
                visitors.all_answered("before a restart")
            site.lab.systemctl("restart", site.service)
        visitors.all_answered("after the restarts")
    return counted(visitors)


def killed(site: Life, worker: bool) -> str:
    with Visitors(site, PAGE) as visitors:
        visitors.all_answered("before the end")
        main = int(site.shown("MainPID"))
        site.lab.run("kill", "-KILL", str(min(site.lab.children(main)) if worker else main))
        began = time.monotonic()
        if not worker:
            wait_for(lambda: site.shown("NRestarts") == "1", "the next start")
        visitors.all_answered("after the end")
        took = time.monotonic() - began
    return f"{counted(visitors)}, {took:.1f} s"


def counted(visitors: Visitors) -> str:
    refused, failed = len(visitors.refused), len(visitors.failed)
    return f"{sum(visitors.answered) + refused + failed}: {refused}, {failed}"


def stuck(site: Life) -> str:
    held = site.wedge()
    began = time.monotonic()
    wait_for(site.answers, "an answer", 10 * WATCHDOG_S)
    took = time.monotonic() - began
    for client in held:
        client.close()
    return f"{took:.1f} s"


def measure(lab: Lab, server: str, times: int) -> list[str]:
    row = [server]
    site = Life(lab, server)
    with installed(site, f"--with=watchdog={WATCHDOG_S}s"):
        row += [f"{site.exposure():.1f}", restarted(site, times)]
        rest = [killed(site, worker=True), killed(site, worker=False), stuck(site)]
    alone = Alone(lab, server)
    with installed(alone):
        row.append(restarted(alone, times))
    return [*row, *rest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--only", action="append", choices=SERVERS)
    options = parser.parse_args()
    head = ["server", "exposure", f"{options.restarts} restarts, socket unit", "worker killed", "main process killed"]
    head = [*head[:3], f"{options.restarts} restarts, service alone", *head[3:], "stuck, then back"]
    with tempfile.TemporaryDirectory() as directory, boot() as lab:
        build_site(Path(directory))
        install_site(lab, Path(directory))
        rows = []
        for server in options.only or SERVERS:
            rows.append(measure(lab, server, options.restarts))
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    print(f"\nRequests: refused, failed.\n\n{table(head, rows)}")


if __name__ == "__main__":
    main()
