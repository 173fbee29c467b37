"""What the measurements share: processes to start and stop, clocks, and tables."""

import http.client
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
SERVE = [sys.executable, "-P", "-m", "launcher"]
"""`serve` without the console script's own import of `re`."""


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
        """Return the seconds from spawn to the first answer 200."""
        while time.perf_counter() - self.started < limit_s:
            if self.process.poll() is not None:
                raise RuntimeError(f"ended with {self.process.returncode}: {' '.join(self.argv)}")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit_s)
                connection.request("GET", path)
                status = connection.getresponse().status
                connection.close()
            except OSError:
                time.sleep(0.001)
                continue
            if status == 200:
                return time.perf_counter() - self.started
            raise RuntimeError(f"{path} answered {status}")
        raise RuntimeError(f"no answer: {' '.join(self.argv)}")

    def until_exec(self, limit_s: float = 30) -> float:
        """Return the seconds from spawn until the process runs another program than it was started with."""
        path = f"/proc/{self.process.pid}/cmdline"
        first = b"\0".join(word.encode() for word in self.argv) + b"\0"
        while time.perf_counter() - self.started < limit_s:
            with open(path, "rb") as file:
                now = file.read()
            if now and now != first and b"launcher\0" not in now.split(b"\0--", 1)[0].replace(b"launcher.", b""):
                return time.perf_counter() - self.started
            time.sleep(0.0002)
        raise RuntimeError("never exec'd")


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


def summary(values: Iterable[float]) -> str:
    figures = sorted(values)
    return f"{statistics.median(figures):.0f} ({figures[0]:.0f}-{figures[-1]:.0f})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)
