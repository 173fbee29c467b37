"""`serve --profile prod --server X`, as shipped, beside plain and hand-tuned commands of the same server.

    python bench/throughput.py [--runs 5] [--seconds 4] [--server gunicorn ...]

32 connections, kept alive and fresh, on a view without work and on a page of templates (bench/site). Commands take
turns within each run; medians, with the least and the most in brackets.
"""

import argparse
import os
import statistics
import sys
import tomllib
from pathlib import Path

from measure import HERE, SERVE, Running, free_port, summary, table, wrk

SITE = HERE / "site"
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
    return {"serve --profile prod": shipped, **by_hand}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--server", action="append")
    options = parser.parse_args()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SERVE_", "DJANGO_"))}
    environ |= {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(SITE)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for server in options.server or ["gunicorn", "uwsgi", "waitress"]:
        rates: dict[tuple[str, str, bool], list[float]] = {}
        trouble: dict[str, str] = {}
        for _ in range(options.runs):
            for name, words in commands(server).items():
                port = free_port()
                with Running([word.replace("{port}", str(port)) for word in words], port, SITE, environ) as started:
                    started.first_answer("/")
                    wrk(port, "/page/", 1, fresh=False)
                    for path, fresh in CASES:
                        rate, wrong = wrk(port, path, options.seconds, fresh=fresh)
                        rates.setdefault((name, path, fresh), []).append(rate)
                        if wrong:
                            trouble[name] = wrong
        print(f"\n### {server}\n")
        head = ["command", *(f"{path} {'fresh' if fresh else 'kept alive'}" for path, fresh in CASES), "errors"]
        rows = [
            [name, *(summary(rates[(name, path, fresh)]) for path, fresh in CASES), trouble.get(name, "")]
            for name in commands(server)
        ]
        best = ["best by hand / serve"]
        for path, fresh in CASES:
            others = [
                statistics.median(figures)
                for (name, *case), figures in rates.items()
                if case == [path, fresh] and not name.startswith("serve")
            ]
            best.append(f"{max(others) / statistics.median(rates[('serve --profile prod', path, fresh)]):.2f}")
        print(table(head, [*rows, [*best, ""]]), flush=True)


if __name__ == "__main__":
    main()
