"""Edits in development: `serve` beside runserver and other reloaders, on a small and on a heavy Django project.

    python bench/edit.py [--edits 20] [--only NAME ...] [--project polls|heavy]

From the save of a view to the first answer of the new code, in milliseconds; connections that failed meanwhile, of
clients that ask every 3 ms on fresh connections; and the processor time of all its processes while nothing happens,
in percent of one processor. The commands take turns, an edit each: a machine that changes its pace slows down all.
The next edit comes when the command before has come to rest: what it does after an answer, such as Django's checks,
is not in anybody's way.
The heavy project needs djangorestframework, pandas, pillow; the other reloaders granian[reload] and hupper.
"""

import argparse
import http.client
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import HERE, SERVE, Running, free_port, summary, table

BIN = Path(sys.executable).parent
SETTLE_S = 2.0
"""A reloader that scans files now and then has to have seen the last edit before the next one."""
REST_S = 30.0
"""Watchers look less often when nothing has happened for a while."""
IDLE_S = 10.0
LOOK_S = 0.3
BUSY = 0.1
"""Of one processor: who uses less has come to rest."""
TICKS = os.sysconf("SC_CLK_TCK")


def commands(port: int, module: str) -> dict[str, list[str]]:
    python = sys.executable
    address = f"127.0.0.1:{port}"
    ours = {
        name: [*SERVE, "--server", name, "--bind", address] for name in ("wsgiref", "gunicorn", "waitress", "uwsgi")
    }
    return {
        **{f"serve, {name}": words for name, words in ours.items()},
        "serve, cold": [*ours["wsgiref"], "--no-warm-start"],
        "runserver": [python, "manage.py", "runserver", address],
        "gunicorn --reload": [str(BIN / "gunicorn"), module, "-b", address, "--reload"],
        "granian --reload": [str(BIN / "granian"), "--interface", "wsgi", "--port", str(port), "--reload", module],
        "flask's reloader": [python, str(HERE / "reloaders.py"), "werkzeug", str(port)],
        "hupper": [python, str(HERE / "reloaders.py"), "hupper", str(port)],
    }


class Project:
    """A copy of a project, and a server on it."""

    def __init__(self, name: str, command: str, directory: str) -> None:
        self.root = Path(directory) / "project"
        source = HERE / "heavy" if name == "heavy" else HERE.parent / "examples" / "django_polls"
        shutil.copytree(source, self.root, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
        self.view = self.root / ("shop" if name == "heavy" else "polls") / "views.py"
        if name == "polls":
            with self.view.open("a") as file:
                file.write('\nMARK = "0"\n\n\ndef mark(request):\n    return HttpResponse(MARK)\n')
            urls = self.root / "polls" / "urls.py"
            urls.write_text(urls.read_text() + '\nurlpatterns += [path("mark/", views.mark)]\n')
        self.path = "/mark/" if name == "heavy" else "/polls/mark/"
        self.source = self.view.read_text()
        self.number = 0
        self.port = free_port()
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("SERVE_", "DJANGO_"))}
        environ |= {"DJANGO_SETTINGS_MODULE": "settings" if name == "heavy" else "mysite.settings.dev"}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        module = "wsgi:application" if name == "heavy" else "mysite.wsgi:application"
        self.running = Running(commands(self.port, module)[command], self.port, self.root, environ)
        self.times: list[float] = []
        self.failed = 0

    def answer(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", self.path)
            return connection.getresponse().read().decode(errors="replace")
        finally:
            connection.close()

    def begin(self) -> None:
        self.running.__enter__()
        self.wait_for("0", 60)

    def wait_for(self, mark: str, limit_s: float) -> float | None:
        """Return when the answer was this mark, and count what failed before."""
        end = time.perf_counter() + limit_s
        while time.perf_counter() < end:
            try:
                if self.answer() == mark:
                    return time.perf_counter()
            except (OSError, http.client.HTTPException):
                self.failed += 1
            time.sleep(0.003)
        return None

    def edit(self) -> None:
        self.number += 1
        text = self.source.replace('MARK = "0"', f'MARK = "{self.number}"')
        began = time.perf_counter()
        self.view.write_text(text)
        seen = self.wait_for(str(self.number), 20)
        if seen is not None:
            self.times.append((seen - began) * 1000)

    def come_to_rest(self, limit_s: float = 5.0) -> None:
        end = time.monotonic() + limit_s
        used = self.processor_s()
        while time.monotonic() < end:
            time.sleep(LOOK_S)
            before, used = used, self.processor_s()
            if used - before < BUSY * LOOK_S:
                return

    def processor_s(self) -> float:
        """Return what all processes of the session have used."""
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.running.process.pid:
                total += int(fields[11]) + int(fields[12])
        return total / TICKS


def measure(name: str, chosen: list[str], edits: int) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as directory:
        projects = {}
        for number, command in enumerate(chosen):
            project = Project(name, command, f"{directory}/{number}")
            project.begin()
            projects[command] = project
        try:
            for project in projects.values():  # what each does only once
                project.edit()
                time.sleep(SETTLE_S)
                project.edit()
                project.times.clear()
                project.failed = 0
            for _ in range(edits):
                for project in projects.values():
                    project.edit()
                    time.sleep(SETTLE_S / len(projects))
                    project.come_to_rest()
            time.sleep(REST_S)  # until watchers have come to rest
            before = {command: project.processor_s() for command, project in projects.items()}
            time.sleep(IDLE_S)
            idle = {command: projects[command].processor_s() - before[command] for command in projects}
        finally:
            for project in projects.values():
                project.running.__exit__(None, None, None)
    slow = statistics.median(projects["runserver"].times) if "runserver" in projects else 0.0
    rows = []
    for command, project in projects.items():
        ratio = f"{statistics.median(project.times) / slow:.2f}" if slow and project.times else ""
        seen = "" if len(project.times) == edits else f" ({len(project.times)} of {edits} seen)"
        rows.append(
            [
                command,
                (summary(project.times) if project.times else "") + seen,
                ratio,
                str(project.failed),
                f"{idle[command] / IDLE_S * 100:.1f} %",
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--only", action="append")
    parser.add_argument("--project", action="append", choices=("polls", "heavy"))
    options = parser.parse_args()
    chosen = options.only or list(commands(0, ""))
    for name in options.project or ["polls", "heavy"]:
        head = ["command", "save to new answer, ms", "/ runserver", "failed connections", "idle"]
        print(f"\n### {name}\n", table(head, measure(name, chosen, options.edits)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
