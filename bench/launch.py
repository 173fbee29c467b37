"""`serve ...` beside the native command that it prints, on examples/django_polls.

    python bench/launch.py [--runs 15] [--server gunicorn ...]

Spawn to first 200 of both, in turn; the time until `serve` has exec'd; throughput of both; and the processes that
are left. Figures are absolute on this machine: only ratios within one run mean anything elsewhere.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import HERE, SERVE, Running, free_port, summary, table, wrk

POLLS = HERE.parent / "examples" / "django_polls"


def native(arguments: list[str], environ: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the printed command of a start: words and environment."""
    done = subprocess.run(
        [*SERVE, "explain", *arguments, "--format", "json"],
        cwd=POLLS,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    command = json.loads(done.stdout)["command"]
    kept = {name: value for name, value in environ.items() if name not in command["env_drop"]}
    return command["argv"], {**kept, **command["env_set"]}


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
        rows = [measure(server, options.runs, options.seconds, environ) for server in servers]
    head = ["server", "serve, ms", "native, ms", "ratio", "own time, ms", "serve, req/s", "native, req/s", "ratio"]
    print(table(head, rows))


def measure(server: str, runs: int, seconds: int, environ: dict[str, str]) -> list[str]:
    ours: list[float] = []
    theirs: list[float] = []
    own: list[float] = []
    for run in range(runs + 1):  # the first warms the caches
        port = free_port()
        arguments = ["--profile", "prod", "--server", server, "--bind", f"127.0.0.1:{port}"]
        with Running([*SERVE, *arguments], port, POLLS, environ) as started:
            mine = started.first_answer("/whoami/")
        with Running([*SERVE, *arguments], port, POLLS, environ) as started:
            until = started.until_exec()
            started.first_answer("/whoami/")
        words, env = native(arguments, environ)
        with Running(words, port, POLLS, env) as started:
            other = started.first_answer("/whoami/")
        if run:
            ours.append(mine * 1000)
            theirs.append(other * 1000)
            own.append(until * 1000)
    ratio = statistics.median(ours) / statistics.median(theirs)
    row = [server, summary(ours), summary(theirs), f"{ratio:.2f}", summary(own)]
    if not seconds:
        return [*row, "", "", ""]
    rates: dict[str, list[float]] = {"serve": [], "native": []}
    for _ in range(3):
        port = free_port()
        arguments = ["--profile", "prod", "--server", server, "--bind", f"127.0.0.1:{port}"]
        words, env = native(arguments, environ)
        for name, command, variables in (("serve", [*SERVE, *arguments], environ), ("native", words, env)):
            with Running(command, port, POLLS, variables) as started:
                started.first_answer("/whoami/")
                wrk(port, "/whoami/", 1, fresh=False)
                rates[name].append(wrk(port, "/whoami/", seconds, fresh=False)[0])
    share = statistics.median(rates["serve"]) / statistics.median(rates["native"])
    return [*row, summary(rates["serve"]), summary(rates["native"]), f"{share:.2f}"]


if __name__ == "__main__":
    main()
