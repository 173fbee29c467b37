"""A runner as a process of its own, and clients that speak to it byte by byte."""

import contextlib
import errno
import itertools
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from launcher.testing.client import DEADLINE_S, connect
from launcher.testing.serving import session_members, wait_for

ROOT = Path(__file__).resolve().parents[2]
APP = "tests.apps.answers:app"


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection."""

    def __init__(self, address: str, sock: socket.socket | None = None) -> None:
        self.sock = sock or connect(address)
        self.sock.settimeout(DEADLINE_S)
        self._read = b""

    def send(self, data: bytes | str) -> None:
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def get(self, target: str, *headers: str, method: str = "GET", version: str = "1.1") -> None:
        self.send("\r\n".join([f"{method} {target} HTTP/{version}", "Host: test", *headers, "", ""]))

    def answer(self, method: str = "GET") -> Response:
        """Read one answer, and take nothing of what follows it."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        match = re.fullmatch(r"HTTP/1\.[01] ([0-9]{3}) .*", lines[0])
        assert match, lines[0]
        status = int(match[1])
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        return Response(status, headers, self._body(method, status, headers))

    def _body(self, method: str, status: int, headers: Mapping[str, str]) -> bytes:
        if method == "HEAD" or status < 200 or status in (204, 304):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._until(b"\r\n"), 16):
                body += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self._exactly(2) == b"\r\n"
            return body
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        assert headers.get("connection") == "close", "an answer without an end"
        return self.rest()

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._receive()
        return self._exactly(self._read.index(mark) + len(mark))

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._receive()
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def _receive(self) -> None:
        piece = self.sock.recv(65536)
        assert piece, f"closed after {self._read!r}"
        self._read += piece

    def ask(self, target: str, *headers: str, method: str = "GET", version: str = "1.1") -> Response:
        self.get(target, *headers, method=method, version=version)
        return self.answer(method)

    def rest(self) -> bytes:
        """Read until the server closes; a reset is an end too."""
        data, self._read = self._read, b""
        with contextlib.suppress(ConnectionResetError):
            while piece := self.sock.recv(65536):
                data += piece
        return data

    def closed_after(self, since: float) -> float:
        """Wait for the server to close without a word; return the seconds since `since` (monotonic)."""
        assert self.rest() == b""
        return time.monotonic() - since

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def refused(address: str) -> bool:
    """Return whether nobody listens there any more."""
    try:
        connect(address).close()
    except ConnectionRefusedError:
        return True
    except OSError as error:
        return error.errno == errno.ENOENT
    return False


def shut_out(address: str) -> bool:
    """Return whether nobody is let in there any more, be he refused or not heard."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_UNIX if host == "unix" else socket.AF_INET) as late:
        late.settimeout(0.2)
        try:
            return late.connect_ex(port if host == "unix" else (host, int(port))) != 0
        except TimeoutError:
            return True


def leave_no_descriptor(pid: int) -> None:
    """Have a process open nothing any more, until it closes something."""
    taken = set(map(int, os.listdir(f"/proc/{pid}/fd")))
    limit = next(number for number in itertools.count() if number not in taken)
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


class Hold:
    """A FIFO on which a request of `/hold` waits."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / f"fifo-{time.monotonic_ns()}"
        os.mkfifo(self.path)
        os.chmod(self.path, 0o666)
        self._writer = -1

    @property
    def target(self) -> str:
        return f"/hold?{self.path}"

    def wait_until_held(self) -> None:
        def opened() -> bool:
            try:
                self._writer = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            return self._writer >= 0

        wait_for(opened, "a request in flight")

    def release(self) -> None:
        os.write(self._writer, b"x")
        os.close(self._writer)


class Runner:
    """A runner that is started, told things and watched to its end."""

    def __init__(
        self,
        server: str,
        *flags: str,
        app: str = APP,
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        python: Sequence[str] = (sys.executable,),
        bind: Sequence[str] = ("127.0.0.1:0",),
        ready: bool = True,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="runner-"))
        self.directory.chmod(0o755)
        self.output = self.directory / "output"
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.settimeout(0.05)
        self._notices.bind(str(self.directory / "notify"))
        (self.directory / "notify").chmod(0o777)
        words = [*python, "-P", "-m", f"launcher.runners.{server}"]
        words += [word for address in bind for word in ("--bind", address.replace("DIR", str(self.directory)))]
        words += [flag.replace("DIR", str(self.directory)) for flag in flags]
        self.command = [*words, app]
        variables = {
            **{name: value for name, value in os.environ.items() if name != "LAUNCHER_UNLINK"},
            "PYTHONPATH": str(ROOT),
            "NOTIFY_SOCKET": str(self.directory / "notify"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **(environ or {}),
        }
        self.notices: list[str] = []
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                env=variables,
                cwd=self.directory,
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if ready:
            try:
                self.wait_for_notice("READY=1")
                self.addresses = self.wait_for_line(r"serving .* on (.*)")[1].split(", ")
            except BaseException:
                self.__exit__(*sys.exc_info())
                raise

    @property
    def address(self) -> str:
        return self.addresses[0]

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def client(self) -> Client:
        return Client(self.address)

    def ask(self, target: str, *headers: str, method: str = "GET") -> Response:
        with self.client() as client:
            return client.ask(target, *headers, method=method)

    def wait_for_notice(self, line: str) -> None:
        def heard() -> bool:
            ended = self.process.poll() is not None
            with contextlib.suppress(TimeoutError):
                self.notices += self._notices.recv(4096).decode().splitlines()
            assert line in self.notices or not ended, "the runner has ended"
            return line in self.notices

        wait_for(heard, line)

    def wait_for_line(self, pattern: str) -> "re.Match[str]":
        return wait_for(lambda: re.search(pattern + r"\n", self.text), pattern)

    def tell(self, number: int) -> float:
        """Send a signal; return when, in monotonic seconds."""
        self.process.send_signal(number)
        return time.monotonic()

    def stop(self) -> int:
        self.tell(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    def __enter__(self) -> "Runner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._notices.close()
        print(f"output of {self.command}:\n{self.text}")
        left = list(session_members(self.process.pid))
        shutil.rmtree(self.directory)
        assert error is not None or not left, f"processes left: {left}"
