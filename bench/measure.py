"""What the measurements share: processes to start and stop, clocks, and tables."""

import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
SERVE = [str(Path(sys.executable).with_name("serve"))]
"""What a person types. The script that pip before 25.0 writes imports `re` for itself, 7 ms of each start."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Running:
    """A server process from spawn to the end of its tree."""

    def __init__(self, argv: Sequence[str], port: int, cwd: Path, environ: Mapping[str, str]) -> None:
        self.argv, self.port, self.cwd, self.environ = list(argv), port, cwd, dict(environ)

    def __enter__(self) -> "Running":
        self.log = open(os.devnull, "wb")
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            self.argv, cwd=self.cwd, env=self.environ, stdout=self.log, stderr=self.log, start_new_session=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()

    def first_answer(self, path: str, limit_s: float = 60) -> float:
        """Return the seconds from spawn to the first answer 200.

        Asking takes next to nothing of the machine: one server listens early and is asked once, another late and
        is asked a hundred times, and neither is to be slowed down by that.
        """
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode()
        while time.perf_counter() - self.started < limit_s:
            if self.process.poll() is not None:
                raise RuntimeError(f"ended with {self.process.returncode}: {' '.join(self.argv)}")
            with socket.socket() as client:
                client.settimeout(limit_s)
                client.bind(("127.0.0.2", 0))  # from the server's own address a client may meet itself
                if client.connect_ex(("127.0.0.1", self.port)):
                    time.sleep(0.001)
                    continue
                client.sendall(request)
                status = client.makefile("rb").readline()
            if b" 200 " in status:
                return time.perf_counter() - self.started
            raise RuntimeError(f"{path} answered {status!r}")
        raise RuntimeError(f"no answer: {' '.join(self.argv)}")

    def until_exec(self, argv: Sequence[str], limit_s: float = 30) -> float:
        """Return the seconds from spawn until the process runs the program and module that `argv` begins with."""
        wanted = b"\0".join(os.fsencode(word) for word in argv[:4])
        while time.perf_counter() - self.started < limit_s:
            with open(f"/proc/{self.process.pid}/cmdline", "rb") as file:
                if file.read().startswith(wanted):
                    return time.perf_counter() - self.started
            time.sleep(0.0005)
        raise RuntimeError(f"never became {' '.join(argv)}")

    def processes(self) -> int:
        """Return how many processes there are in the session that the server was started in."""
        return len(list(self._session()))

    def cpu_s(self) -> float:
        """Return the processor time that those which are left have taken."""
        spent = 0
        for process in self._session():
            for schedstat in process.glob("task/*/schedstat"):
                with contextlib.suppress(OSError):
                    spent += int(schedstat.read_text().split()[0])
        return spent / 1e9

    def _session(self) -> Iterator[Path]:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # Source: proc(5): the session is the fourth field after the name in brackets.
                if int(stat.read_text().rpartition(")")[2].split()[3]) == self.process.pid:
                    yield stat.parent


class Answered(NamedTuple):
    """What came of a load."""

    rate: float
    """Requests a second of the load's own time."""
    cpu_s: float
    """Of all processes of the server, for each request."""
    trouble: str


def wrk(servers: Sequence[Running], path: str, seconds: float, *, fresh: bool, turn_s: float = 0.25) -> list[Answered]:
    """Load each server for so long with 32 connections. They take turns that are too short for the machine to change.

    While one `wrk` runs the others are stopped. Their servers still answer what was asked: in much shorter turns that
    would be most of the work, and all would look alike.
    """
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    header = ["-H", "Connection: close"] if fresh else []
    before = [server.cpu_s() for server in servers]
    limit_s = 10 + 2 * round(seconds * len(servers))  # of one that nobody tells to end
    loads, spent = [], [0.0] * len(servers)
    with contextlib.ExitStack() as started:
        for server in servers:
            url = f"http://127.0.0.1:{server.port}{path}"
            words = [program, "-t1", "-c32", f"-d{limit_s}s", *header, url]
            load = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            load.send_signal(signal.SIGSTOP)
            started.callback(load.kill)
            loads.append(load)
        for _ in range(round(seconds / turn_s)):
            for number, load in enumerate(loads):
                began = time.perf_counter()
                load.send_signal(signal.SIGCONT)
                time.sleep(turn_s)
                load.send_signal(signal.SIGSTOP)
                spent[number] += time.perf_counter() - began
        results = []
        for load in loads:
            load.send_signal(signal.SIGCONT)
            while load.poll() is None:  # of its two threads one goes on sleeping when the other hears the signal
                load.send_signal(signal.SIGINT)
                time.sleep(0.05)
            results.append(load.communicate()[0])
    answered = []
    for server, cpu_s, load_s, text in zip(servers, before, spent, results, strict=True):
        found = re.search(r"(\d+) requests in", text)
        count = int(found[1]) if found else 0
        trouble = [line.strip() for line in text.splitlines() if "errors" in line or "Non-2xx" in line]
        cost = (server.cpu_s() - cpu_s) / max(1, count)
        answered.append(Answered(count / load_s, cost, "; ".join(trouble)))
    return answered


def in_turn(run: int, names: Iterable[str]) -> list[str]:
    """Return the names beginning with another one in each run: nobody is always first, or always after the same."""
    listed = list(names)
    first = run % len(listed)
    return listed[first:] + listed[:first]


def summary(values: Iterable[float], digits: int = 0) -> str:
    """Return the median, and the least and the most in brackets."""
    figures = sorted(values)
    return f"{statistics.median(figures):.{digits}f} ({figures[0]:.{digits}f}-{figures[-1]:.{digits}f})"


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> list[float]:
    """Divide what was measured in the same turn: a machine that changes its pace slows down both."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)
