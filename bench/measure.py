"""What the measurements share: processes to start and stop, clocks, and tables."""

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

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
        found = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                # Source: proc(5): the session is the fourth field after the name in brackets.
                found += int(stat.read_text().rpartition(")")[2].split()[3]) == self.process.pid
            except OSError:
                continue
        return found


def wrk(port: int, path: str, seconds: int, *, fresh: bool, connections: int = 32) -> tuple[float, str]:
    """Return requests a second, and what went wrong, if anything."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    header = ["-H", "Connection: close"] if fresh else []
    done = subprocess.run(
        [program, "-t1", f"-c{connections}", f"-d{seconds}s", *header, f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    trouble = [line.strip() for line in done.stdout.splitlines() if "errors" in line or "Non-2xx" in line]
    return float(rate[1]) if rate else 0.0, "; ".join(trouble)


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
