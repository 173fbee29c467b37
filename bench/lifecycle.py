"""Reloads, stops, readiness and memory: `serve` beside the plain commands of the same servers, and granian.

    python bench/lifecycle.py [reload] [ready] [term] [memory] [--good 50] [--broken 20] [--only NAME ...]

- reload: good and broken releases under load (8 clients, half on kept connections, requests of 20 ms and 1 s, an
  application that takes 0.8 s to import): failed requests, longest added wait, whether the server lives. A client on
  a kept connection asks once more if it was closed before any answer came, as browsers and proxies do.
- ready: from READY=1 on NOTIFY_SOCKET to the first answer, with a 3 s import.
- term: TERM with 8 requests of 1 s in flight: how many are answered, and the exit status.
- memory: PSS of the main process, and of each worker more.
"""

import argparse
import http.client
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from load import Load
from measure import HERE, SERVE, Running, free_port, table

BIN = Path(sys.executable).parent
SERVERS = ("gunicorn", "uwsgi", "waitress", "wsgiref")


def command(name: str, port: int, workers: int = 2, threads: int = 8, preload: bool = False) -> list[str]:
    """Return the words that serve bench/life: `serve X`, or a server by hand as its own documentation has it."""
    address = f"127.0.0.1:{port}"
    if name.startswith("serve "):
        words = [*SERVE, "app:application", "--profile", "prod", "--server", name.split()[1], "--bind", address]
        words += ["--workers", str(workers), "--threads", str(threads), "--max-requests", "0"]
        return [*words, "--max-requests-jitter", "0", *(["--preload"] if preload else [])]
    by_hand = {
        "gunicorn": f"gunicorn app:application -b {address} -w {workers} --threads {threads}",
        "uwsgi": f"uwsgi --http-socket {address} --module app:application --master --need-app --die-on-term "
        f"--processes {workers} --threads {threads} --binary-path {sys.executable} --lazy-apps",
        "waitress": f"waitress-serve --listen={address} --threads={threads} app:application",
        "granian": f"granian --interface wsgi --host 127.0.0.1 --port {port} --workers {workers} "
        f"--blocking-threads {threads} --respawn-failed-workers app:application",
    }
    words = by_hand[name].split()
    return [str(BIN / words[0]), *words[1:], *(["--preload"] if preload and name == "gunicorn" else [])]


class Site:
    """A copy of bench/life with a release number, and a server on it."""

    def __init__(self, name: str, directory: str, import_s: float = 0.8, **shape: int | bool) -> None:
        self.name, self.root = name, Path(directory)
        self.text = (HERE / "life" / "app.py").read_text()
        self.release = 1
        self.save(self.text)
        self.port = free_port()
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("SERVE_", "DJANGO_"))}
        environ |= {"LIFE_IMPORT_S": str(import_s), "PYTHONPATH": directory, "SERVE_PRODUCTION": "false"}
        environ |= {"PYTHONDONTWRITEBYTECODE": "1"}  # two releases within a second
        self.environ = environ
        self.running = Running(command(name, self.port, **shape), self.port, self.root, environ)

    def save(self, text: str) -> None:
        whole = self.root / "app.new"
        whole.write_text(text)
        whole.replace(self.root / "app.py")

    def next_release(self) -> None:
        self.release += 1
        self.save(self.text.replace("RELEASE = 1", f"RELEASE = {self.release}"))

    def reload(self) -> None:
        """Ask for a reload as this command's users would, and wait until it is over."""
        pid = self.running.process.pid
        if self.name.startswith("serve "):
            words = [*SERVE, "reload", "--profile", "prod", "--pid", str(pid)]
            subprocess.run(words, cwd=self.root, env=self.environ, capture_output=True, check=False)
            return
        if self.name == "waitress":  # it has no reload
            self.running.process.terminate()
            self.running.process.wait(30)
            self.running.__enter__()
        else:
            os.kill(pid, signal.SIGHUP)
        self.wait_for_release(10)

    def lives_on(self, seconds: float = 3.0) -> bool:
        """Return whether the server is still there, so long after broken code reached it."""
        try:
            self.running.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def wait_for_release(self, limit_s: float) -> bool:
        """Wait until twenty answers in a row are of this release."""
        end, row = time.monotonic() + limit_s, 0
        while row < 20 and time.monotonic() < end:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/0")
                row = row + 1 if connection.getresponse().read() == b"%d" % self.release else 0
                connection.close()
            except (OSError, http.client.HTTPException):
                row = 0
            if not row:
                time.sleep(0.02)
        return row >= 20


def measure_reload(name: str, good: int, broken: int) -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        site = Site(name, directory)
        with site.running:
            site.running.first_answer("/0")
            with Load(site.port) as load:
                time.sleep(1)
                windows, stale = [], 0
                for _ in range(good):
                    site.next_release()
                    begin = time.monotonic()
                    site.reload()
                    stale += not site.wait_for_release(5)
                    windows.append((begin, time.monotonic()))
            first = load.failed(), load.longest_added(windows)
            with Load(site.port) as load:
                windows = []
                for _ in range(broken):
                    site.save("import no_such_module\n")
                    begin = time.monotonic()
                    site.reload()
                    lived = site.lives_on()
                    windows.append((begin, time.monotonic()))
                    if not lived:
                        break
            second = load.failed(), load.longest_added(windows)
            alive = site.running.process.poll() is None
    count = f"{good}" + (f", {stale} brought no new code" if stale else "")
    lived = "lives" if alive else "ended"
    return [
        name,
        count,
        f"{len(first[0])}",
        f"{first[1]:.2f}",
        f"{len(windows)}, {lived}",
        f"{len(second[0])}",
        f"{second[1]:.2f}",
    ]


def measure_ready(name: str) -> list[str]:
    gaps = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(f"{directory}/notify")
            listener.settimeout(20)
            site = Site(name, directory, import_s=3.0)
            site.running.environ["NOTIFY_SOCKET"] = f"{directory}/notify"
            with site.running:
                said = wait_for_ready(listener)
                site.running.first_answer("/0")
                first = time.monotonic()
            if said is None:
                return [name, "never says it"]
            gaps.append(first - said)
    return [name, f"{statistics.median(gaps):.2f} s ({min(gaps):.2f}-{max(gaps):.2f})"]


def wait_for_ready(listener: socket.socket) -> float | None:
    try:
        while b"READY=1" not in listener.recv(4096).split(b"\n"):
            pass
    except TimeoutError:
        return None
    return time.monotonic()


def measure_term(name: str) -> list[str]:
    answers: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        site = Site(name, directory, import_s=0.0)
        with site.running:
            site.running.first_answer("/0")

            def ask() -> None:
                connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
                try:
                    connection.request("GET", "/1000")
                    answers.append(str(connection.getresponse().status))
                except (OSError, http.client.HTTPException) as error:
                    answers.append(repr(error))

            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads:
                thread.start()
            time.sleep(0.4)
            began = time.monotonic()
            site.running.process.terminate()
            for thread in threads:
                thread.join()
            status = site.running.process.wait(60)
            took = time.monotonic() - began
    return [name, f"{answers.count('200')} of 8", str(status), f"{took:.1f} s"]


def measure_memory(name: str, preload: bool) -> list[str]:
    figures = {}
    for workers in (1, 3):
        with tempfile.TemporaryDirectory() as directory:
            site = Site(name, directory, import_s=0.0, workers=workers, preload=preload)
            with site.running:
                site.running.first_answer("/0")
                site.wait_for_release(10)
                time.sleep(2)
                pids = tree(site.running.process.pid)
                figures[workers] = [pss(pid) for pid in pids]
    added = (sum(figures[3]) - sum(figures[1])) / 2
    return [f"{name}{', preload' if preload else ''}", f"{figures[1][0]:.1f}", f"{sum(figures[1]):.1f}", f"{added:.1f}"]


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    found, rest = [], [pid]
    while rest:
        found.append(rest.pop())
        for task in Path(f"/proc/{found[-1]}/task").iterdir():
            rest += map(int, (task / "children").read_text().split())
    return found


def pss(pid: int) -> float:
    """Return the proportional set size in MiB. Source: proc(5), smaps_rollup."""
    match = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["reload", "ready", "term", "memory", []])  # [] is none
    parser.add_argument("--good", type=int, default=50)
    parser.add_argument("--broken", type=int, default=20)
    parser.add_argument("--only", action="append")
    options = parser.parse_args()
    names = options.only or [*(f"serve {server}" for server in SERVERS), "gunicorn", "uwsgi", "waitress", "granian"]
    names = [name for name in names if Path(command(name, 0)[0]).exists()]
    parts: dict[str, tuple[list[str], Callable[[str], list[str]]]] = {
        "reload": (
            [
                "command",
                "good reloads",
                "failed",
                "longest added wait, s",
                "broken reloads",
                "failed",
                "longest added wait, s",
            ],
            lambda name: measure_reload(name, options.good, options.broken),
        ),
        "ready": (["command", "READY=1 to the first answer"], measure_ready),
        "term": (["command", "answered", "exit status", "stopped after"], measure_term),
    }
    for what, (head, measure) in parts.items():
        if not options.what or what in options.what:
            print(f"\n### {what}\n\n{table(head, [measure(name) for name in names])}", flush=True)
    if not options.what or "memory" in options.what:
        cases = [
            (name, preload) for name in names for preload in (False, True) if not preload or name.startswith("serve ")
        ]
        head = ["command", "main process, MiB", "with one worker", "each worker more"]
        print(f"\n### memory\n\n{table(head, [measure_memory(*case) for case in cases])}", flush=True)


if __name__ == "__main__":
    main()
