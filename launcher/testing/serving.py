"""A small project that `serve` serves, watched from its start to the last of its processes."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeVar

from .client import DEADLINE_S, Answer, Client, request

T = TypeVar("T")

APP = "launcher.testing.application:app"

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""Variables of the surroundings that a server is started with, and those that begin with PYTHON or COV."""

POLL_S = 0.01
GONE_S = 5.0
"""How long the other processes may take to end after the main one."""


def wait_for(found: Callable[[], T | Literal[False] | None], what: str, deadline_s: float | None = None) -> T:
    """Return what `found` returns once it is something; the deadline is DEADLINE_S unless it is told."""
    deadline_s = DEADLINE_S if deadline_s is None else deadline_s
    end = time.monotonic() + deadline_s
    while not (result := found()):
        assert time.monotonic() < end, f"waited {deadline_s:g} s in vain for {what}"
        time.sleep(POLL_S)
    return result


def same(found: object, wanted: object, what: str) -> None:
    """Insist on a value; nobody rewrites our assertions, so that they must tell by themselves."""
    assert found == wanted, f"{what}: {found!r}, not {wanted!r}"


class Typed(NamedTuple):
    """A native command, typed by hand instead of `serve`."""

    argv: Sequence[str]
    environ: Mapping[str, str]
    addresses: tuple[str, ...]
    """Where it will listen."""


class Serving:
    """A context manager: inside it the server answers, after it nothing of it is left, or the test fails.

    `directory` becomes the project: `profiles/NAME.toml` holds `profile`, `files` are written beside it. The
    application is the kit's own unless `profile` names one or its settings. With `command` the directory is a project
    already, and the command is started in it. Without `ready` nothing is waited for.
    """

    def __init__(
        self,
        directory: Path,
        profile: Mapping[str, Any],
        *,
        name: str = "kit",
        flags: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        tls: ssl.SSLContext | None = None,
        ready: bool = True,
        command: "Typed | None" = None,
        python: str = sys.executable,
    ) -> None:
        self.directory = directory
        self.tls = tls
        """How `request` and `client` speak TLS; None for plain HTTP."""
        self.addresses: tuple[str, ...] = command.addresses if command else ()
        """Where it listens, as the start line says: `127.0.0.1:40001`, `unix:/path`."""
        self._pid_file: str | None = profile.get("pid_file")
        self._ready = ready
        self._pass_fds = pass_fds
        self._serve, self._name = (python, "-P", "-m", "launcher"), name
        self._argv: Sequence[str] = (*self._serve, "--profile", name, *flags)
        self._environ: Mapping[str, str] = {**clean_environment(), **(environ or {})}
        if command:
            self._argv, self._environ = command.argv, command.environ
        else:
            write_project(directory, profile, name=name, files=files or {})

    def __enter__(self) -> Self:
        self.stdout = self.directory / "stdout"
        self.stderr = self.directory / "stderr"
        with self.stdout.open("wb") as stdout, self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                self._argv,
                cwd=self.directory,
                env=self._environ,
                pass_fds=self._pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.started = time.monotonic()
        try:
            if self._ready:
                self.addresses = self.addresses or wait_for(self.announced, "the start line")
                wait_for(self._answers, "the first answer")
        except AssertionError as error:
            self._clear_away()
            raise AssertionError(f"{error}\n{self.output}") from None
        except BaseException:
            self._clear_away()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._end_well()
        finally:
            self._clear_away()

    @property
    def pid(self) -> int:
        """The main process: serve's own, which becomes the server's."""
        return self.process.pid

    @property
    def address(self) -> str:
        return self.addresses[0]

    @property
    def output(self) -> str:
        """All it has said so far, standard output first."""
        return self.stdout.read_text(errors="replace") + self.stderr.read_text(errors="replace")

    @property
    def messages(self) -> str:
        """What the server itself has said to standard error: all but the lines of `serve`."""
        lines = self.stderr.read_text(errors="replace").splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("serve: "))

    def client(self, address: str = "", *, source: str = "") -> Client:
        """Open one connection."""
        return Client(address or self.address, tls=self.tls, source=source)

    def request(
        self,
        target: str = "/",
        *headers: str,
        method: str = "GET",
        body: bytes = b"",
        address: str = "",
        source: str = "",
    ) -> Answer:
        """Ask one thing on a connection of its own."""
        return request(
            address or self.address, target, headers=headers, method=method, body=body, tls=self.tls, source=source
        )

    def report(self, target: str = "/", *headers: str, **how: Any) -> Any:
        """Ask, and return the JSON of an answer that has to be 200."""
        answer = self.request(target, *headers, **how)
        assert answer.status == 200, f"{target}: {answer.status} {answer.body[:500]!r}\n{self.output}"
        return answer.json()

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Type `serve WORDS` beside it, for its profile; return what came of it."""
        argv = (*self._serve, *words, "--profile", self._name)
        return subprocess.run(
            argv,
            cwd=self.directory,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=3 * DEADLINE_S,
            check=False,
        )

    def tree(self) -> tuple[int, ...]:
        """Return the living processes of its session, the main one among them."""
        return tuple(sorted(session_members(self.pid)))

    def signal(self, number: int) -> float:
        """Send a signal to the main process; return when, in monotonic seconds."""
        self.process.send_signal(number)
        return time.monotonic()

    def wait(self) -> int:
        """Return the exit status of the main process."""
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server did not end within {DEADLINE_S:g} s\n{self.output}") from None

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def stop_cleanly(self) -> None:
        """Stop, and insist on exit status 0."""
        status = self.stop()
        assert status == 0, f"after SIGTERM the server ended with status {status}\n{self.output}"

    def announced(self) -> tuple[str, ...]:
        """Return the addresses of the start line; nothing while there is none."""
        found = re.search(r"^serve: profile .*, (\S.*)\n", self.stderr.read_text(errors="replace"), re.MULTILINE)
        if found is None:
            self._insist_on_life()
            return ()
        # A socket's path may hold spaces.
        places = re.split(r" (?=https?://|unix:|\S+:\d+(?: |$))", found[1])
        return tuple(re.sub("^https?://(localhost:)?", lambda match: ":" if match[1] else "", each) for each in places)

    def _answers(self) -> Answer | None:
        try:
            return self.request("/")
        except (OSError, ValueError):
            # Not listening yet, or gone before it answered: the process tells which.
            self._insist_on_life()
            return None

    def _insist_on_life(self) -> None:
        status = self.process.poll()
        assert status is None, f"the server ended with status {status}"

    def _end_well(self) -> None:
        if self.process.poll() is None:
            self.stop_cleanly()
        left = self.tree()
        if left:
            wait_for(lambda: not self.tree(), f"the processes {left} to end after the main one", GONE_S)
        files = [address.removeprefix("unix:") for address in self.addresses if address.startswith("unix:/")]
        left_files = [file for file in (*files, self._pid_file) if file and os.path.lexists(file)]
        assert not left_files, f"left behind by the server: {left_files}\n{self.output}"

    def _clear_away(self) -> None:
        """Kill what is there, by pid, until nothing is."""
        wait_for(self._killed, "killed processes to end")
        self.process.wait(DEADLINE_S)
        print(f"{' '.join(self._argv)}\n{self.output}")  # pytest shows it where a test fails

    def _killed(self) -> bool:
        for pid in self.tree():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not self.tree()


def refused(
    directory: Path,
    profile: Mapping[str, Any],
    *,
    flags: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a start that must not succeed; return its exit status and all that it said."""
    with Serving(directory, profile, flags=flags, files=files, environ=environ, ready=False) as serving:
        status = serving.wait()
    return status, serving.output


def write_project(directory: Path, profile: Mapping[str, Any], *, name: str, files: Mapping[str, str]) -> None:
    """Make a project of one profile and some files."""
    named = {"app": APP, **profile} if "settings" not in profile else profile
    everything = {f"profiles/{name}.toml": toml_text(named), **files}
    for path, text in everything.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def toml_text(values: Mapping[str, Any]) -> str:
    """Write options as TOML."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)


def clean_environment() -> dict[str, str]:
    """Return what of the surroundings cannot change a server, and what Python needs to find its packages."""
    return {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(("PYTHON", "COV"))}


def session_members(session: int) -> Iterator[int]:
    """Yield the processes of a session that live; zombies do not. Source: proc_pid_stat(5)."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                yield int(entry)


def free_address() -> str:
    """Return an address of this machine alone, for a server that must be told its port.

    The loopback network is large: an address of this process's own makes the port its own too.
    """
    pid = os.getpid()
    host = f"127.{1 + (pid >> 16) % 254}.{(pid >> 8) % 256}.{1 + pid % 254}"
    with socket.socket() as sock:
        sock.bind((host, 0))
        return f"{host}:{sock.getsockname()[1]}"


def wait_for_text(path: Path, wanted: str | Iterable[str], serving: Serving) -> str:
    """Wait until a file holds all of these texts, and return it."""
    texts = [wanted] if isinstance(wanted, str) else list(wanted)

    def found() -> str:
        try:
            text = path.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return text if all(each in text for each in texts) else ""

    try:
        return wait_for(found, f"{texts} in {path.name}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{serving.output}") from None
