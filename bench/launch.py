"""`serve ...` beside the native command that it prints and a plain one by hand, on examples/django_polls.

    python bench/launch.py [--runs 15] [--seconds 4] [--server gunicorn ...]

Spawn to first 200 of each, in turns that begin with another one every time; the time until `serve` has exec'd; how
many processes there are then; and the throughput of `serve` and of what it prints. Medians, with the least and the
most in brackets; ratios are taken within each turn. Figures are absolute on this machine: only ratios mean anything
elsewhere.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from measure import HERE, SERVE, Running, free_port, in_turn, ratios, summary, table, wrk

POLLS = HERE.parent / "examples" / "django_polls"
PAGE = "/whoami/"
BY_HAND = {
    "gunicorn": "gunicorn mysite.wsgi -b {bind} -w {workers} --threads {threads}",
    "uwsgi": "uwsgi --http-socket {bind} --module mysite.wsgi --master --processes {workers} --threads {threads} --need-app --die-on-term",
    "waitress": "waitress-serve --listen={bind} --threads={threads} mysite.wsgi:application",
}
"""What a how-to says, with as many workers and threads; for wsgiref there is no such command."""

Start = tuple[list[str], Mapping[str, str]]
"""Words and environment."""


def starts(server: str, port: int, environ: Mapping[str, str]) -> dict[str, Start]:
    """Return the commands that are compared."""
    bind = f"127.0.0.1:{port}"
    words = ["--profile", "prod", "--server", server, "--bind", bind]
    explain = [*SERVE, "explain", *words, "--format", "json"]
    plan = json.loads(subprocess.run(explain, cwd=POLLS, env=environ, stdout=subprocess.PIPE, check=True).stdout)
    command = plan["command"]
    kept = {name: value for name, value in environ.items() if name not in command["env_drop"]}
    found: dict[str, Start] = {
        "serve": ([*SERVE, *words], environ),
        "native": (command["argv"], {**kept, **command["env_set"]}),
    }
    if server in BY_HAND:
        given = {name: plan["options"][name]["value"] for name in ("workers", "threads")}
        program, *rest = BY_HAND[server].format(bind=bind, **given).split()
        settings = {"DJANGO_SETTINGS_MODULE": plan["settings_module"], "PYTHONPATH": str(POLLS)}
        found["by hand"] = ([str(Path(sys.executable).with_name(program)), *rest], {**environ, **settings})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=4, help="of each throughput run; 0 leaves them out")
    parser.add_argument("--server", action="append")
    options = parser.parse_args()
    servers = options.server or ["gunicorn", "uwsgi", "waitress", "wsgiref"]
    with tempfile.TemporaryDirectory() as directory:
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SERVE_", "DJANGO_"))},
            "DJANGO_SECRET_KEY": "a key for measurements only, fifty characters or more of it",
            "DJANGO_DATABASE": str(Path(directory) / "db.sqlite3"),
        }
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        migrate = {**environ, "DJANGO_SETTINGS_MODULE": "mysite.settings.prod"}
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=POLLS, env=migrate, check=True)
        launches = [measure_starts(server, options.runs, environ) for server in servers]
        head = ["server", "serve, ms", "native, ms", "serve / native", "own time, ms"]
        print(table([*head, "by hand, ms", "serve / by hand", "processes"], launches), flush=True)
        if options.seconds:
            rates = [measure_rates(server, options.seconds, environ) for server in servers]
            head = ["server", "serve, requests/s", "native, requests/s", "serve / native"]
            print(f"\n{table(head, rates)}")


def measure_starts(server: str, runs: int, environ: Mapping[str, str]) -> list[str]:
    taken: dict[str, list[float]] = {}
    own: list[float] = []
    processes: dict[str, int] = {}
    for run in range(runs + 1):  # the first warms the caches
        port = free_port()
        found = starts(server, port, environ)
        for name in in_turn(run, found):
            words, variables = found[name]
            with Running(words, port, POLLS, variables) as started:
                milliseconds = started.first_answer(PAGE) * 1000
                processes[name] = started.processes()
            if run:
                taken.setdefault(name, []).append(milliseconds)
        words, variables = found["serve"]
        with Running(words, port, POLLS, variables) as started:
            until = started.until_exec(found["native"][0]) * 1000
            started.first_answer(PAGE)
        if run:
            own.append(until)
    row = [server, summary(taken["serve"]), summary(taken["native"])]
    row += [summary(ratios(taken["serve"], taken["native"]), 2), summary(own)]
    hand = taken.get("by hand")
    row += [summary(hand), summary(ratios(taken["serve"], hand), 2)] if hand else ["", ""]
    return [*row, ", ".join(f"{name} {count}" for name, count in processes.items())]


def measure_rates(server: str, seconds: int, environ: Mapping[str, str]) -> list[str]:
    rates: dict[str, list[float]] = {}
    for run in range(3):
        port = free_port()
        found = starts(server, port, environ)
        found.pop("by hand", None)  # bench/throughput.py compares with those, and with better ones
        for name in in_turn(run, found):
            words, variables = found[name]
            with Running(words, port, POLLS, variables) as started:
                started.first_answer(PAGE)
                wrk([started], PAGE, 1, fresh=False)
                rates.setdefault(name, []).append(wrk([started], PAGE, seconds, fresh=False)[0].rate)
    share = ratios(rates["serve"], rates["native"])
    return [server, summary(rates["serve"]), summary(rates["native"]), summary(share, 2)]


if __name__ == "__main__":
    main()
