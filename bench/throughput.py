"""`serve --profile prod --server X`, as shipped, beside plain and hand-tuned commands of the same server.

    python bench/throughput.py [--runs 10] [--seconds 1] [--server gunicorn ...]

32 connections, kept alive and fresh, on a view without work and on a page of templates (bench/site). All commands of
a server are there all the time and take turns of a second, which begin with another one in each run: a machine that
changes its pace changes it for all. Medians, with the least and the most in brackets. The last line is
the best command by hand of each column, chosen after the fact, over `serve`: the median of their ratios in each run.
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
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--server", action="append")
    options = parser.parse_args()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SERVE_", "DJANGO_"))}
    environ |= {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(SITE)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for server in options.server or ["gunicorn", "uwsgi", "waitress"]:
        rates: dict[tuple[str, str, bool], list[float]] = {}
        trouble: dict[str, set[str]] = {}
        compared = commands(server)
        with ExitStack() as running:
            ports = {}
            for name, listed in compared.items():
                ports[name] = port = free_port()
                words = [word.replace("{port}", str(port)) for word in listed]
                running.enter_context(Running(words, port, SITE, environ)).first_answer("/")
                wrk(port, "/page/", 1, fresh=False)
            for run in range(options.runs):
                for path, fresh in CASES:
                    for name in in_turn(run, compared):
                        rate, wrong = wrk(ports[name], path, options.seconds, fresh=fresh)
                        rates.setdefault((name, path, fresh), []).append(rate)
                        if wrong:
                            trouble.setdefault(name, set()).add(re.sub(r"\d+", "n", wrong))
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
        best = ["best by hand / serve"]
        for path, fresh in CASES:
            ours = rates[(SHIPPED, path, fresh)]
            others = [ratios(rates[(name, path, fresh)], ours) for name in compared if name != SHIPPED]
            best.append(summary(max(others, key=statistics.median), 2))
        print(table(head, [*rows, [*best, ""]]), flush=True)


if __name__ == "__main__":
    main()
