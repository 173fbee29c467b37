"""`serve --profile prod --server X`, as shipped, beside plain and hand-tuned commands of the same server.

    python bench/throughput.py [--runs 10] [--seconds 1] [--server gunicorn ...]

32 connections, kept alive and fresh, on a view without work and on a page of templates (bench/site). All commands of
a server are there all the time and take turns of a quarter of a second, so that a machine that changes its pace, or
has other work, changes it for all. Medians of the runs, with the least and the most in brackets. The last two lines
are the best command by hand of each column, chosen after the fact, over `serve`: the median of their ratios in each
run, of the rates and of what the server's processes take for a request, which tells smaller differences. Above 1 the
command by hand is better. The same command twice (--same) shows what is noise.
"""

import argparse
import os
import re
import statistics
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path

from measure import HERE, SERVE, Running, free_port, in_turn, ratios, summary, table, wrk

SITE = HERE / "site"
SHIPPED = "serve --profile prod"
CASES = [("/", False), ("/", True), ("/page/", False), ("/page/", True)]


def commands(server: str) -> dict[str, list[str]]:
    """Return name -> words, with {port} left to fill in."""
    with open(HERE / "commands.toml", "rb") as file:
        listed = tomllib.load(file)[server]
    bindir = str(Path(sys.executable).parent)
    by_hand = {
        name: [word.format(port="{port}", bin=bindir, python=sys.executable) for word in words]
        for name, words in listed.items()
    }
    shipped = [*SERVE, "--profile", "prod", "--server", server, "--bind", "127.0.0.1:{port}"]
    return {SHIPPED: shipped, **by_hand}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1, help="of each command, column and run")
    parser.add_argument("--same", action="store_true", help="nothing but the shipped profile, twice")
    parser.add_argument("--server", action="append")
    options = parser.parse_args()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SERVE_", "DJANGO_"))}
    environ |= {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(SITE)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for server in options.server or ["gunicorn", "uwsgi", "waitress"]:
        rates: dict[tuple[str, str, bool], list[float]] = {}
        costs: dict[tuple[str, str, bool], list[float]] = {}
        trouble: dict[str, set[str]] = {}
        compared = commands(server)
        if options.same:
            compared = {SHIPPED: compared[SHIPPED], "the same": compared[SHIPPED]}
        with ExitStack() as running:
            servers = {}
            for name, listed in compared.items():
                port = free_port()
                words = [word.replace("{port}", str(port)) for word in listed]
                servers[name] = running.enter_context(Running(words, port, SITE, environ))
                servers[name].first_answer("/")
            wrk(list(servers.values()), "/page/", 1, fresh=False)
            for run in range(options.runs):
                for path, fresh in CASES:
                    names = in_turn(run, compared)
                    found = wrk([servers[name] for name in names], path, options.seconds, fresh=fresh)
                    for name, answered in zip(names, found, strict=True):
                        rates.setdefault((name, path, fresh), []).append(answered.rate)
                        costs.setdefault((name, path, fresh), []).append(answered.cpu_s)
                        if answered.trouble:
                            trouble.setdefault(name, set()).add(re.sub(r"\d+", "n", answered.trouble))
        print(f"\n### {server}\n")
        head = ["command", *(f"{path} {'fresh' if fresh else 'kept alive'}" for path, fresh in CASES), "errors"]
        rows = [
            [
                name,
                *(summary(rates[(name, path, fresh)]) for path, fresh in CASES),
                "; ".join(sorted(trouble.get(name, ()))),
            ]
            for name in compared
        ]
        best, cheapest = ["best by hand / serve"], ["the same, by processor time"]
        for path, fresh in CASES:
            others = [(name, path, fresh) for name in compared if name != SHIPPED]
            ours = (SHIPPED, path, fresh)
            by_rate = [ratios(rates[other], rates[ours]) for other in others]
            by_cost = [ratios(costs[ours], costs[other]) for other in others]
            best.append(summary(max(by_rate, key=statistics.median), 2))
            cheapest.append(summary(max(by_cost, key=statistics.median), 2))
        print(table(head, [*rows, [*best, ""], [*cheapest, ""]]), flush=True)


if __name__ == "__main__":
    main()
