"""Our threaded worker and our hooks, inside a real gunicorn."""

import contextlib
import grp
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from launcher.runners.gunicorn_client import HELD_BYTES
from launcher.testing.client import DEADLINE_S
from launcher.testing.serving import session_members, wait_for
from tests.live.runner_process import ROOT, Client, Hold, Response, leave_no_descriptor

pytestmark = pytest.mark.live

APP = """
import json, os, sys, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/exit":
        sys.exit(9)
    if path == "/hold":
        with open(environ["QUERY_STRING"], "rb") as fifo:
            fifo.read(1)
    if path == "/fork" and not os.fork():
        with open(environ["QUERY_STRING"], "rb") as fifo:
            fifo.read(1)
        os._exit(0)
    if path == "/grow":
        environ["wsgi.errors"].write("growing\\n")
        globals()["ballast"] = b"x" * 200_000_000
    if path == "/read":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(str(len(body)))))])
        return [str(len(body)).encode()]
    if path == "/try":
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            print(f"read failed: {type(error).__name__}", flush=True)
            raise
    if path == "/endless":
        start_response("200 OK", [])
        return Endless()
    if path == "/large":
        start_response("200 OK", [("Content-Length", "60000000")])
        return [b"x" * 60_000_000]
    if path == "/file":
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))
    mask = os.umask(0)
    os.umask(mask)
    facts = {"pid": os.getpid(), "umask": mask, "groups": sorted(os.getgroups()), "uid": os.getuid(),
             "gid": os.getgid(), "home": os.environ.get("HOME"), "input": environ.get("QUERY_STRING")}
    body = json.dumps(facts).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

class Endless:
    def __iter__(self):
        while True:
            yield b"x" * 65536
    def close(self):
        print("closed", flush=True)
"""

LARGE = 60_000_000

INHERIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, sys.argv[2:])
"""
"""What `serve run` does at its end: the socket as descriptor 3, and this very process."""


class Gunicorn:
    """gunicorn with our worker, on a socket that it inherits."""

    def __init__(
        self,
        *flags: str,
        workers: int = 1,
        threads: int = 2,
        app: str = "app:app",
        files: dict[str, str] | None = None,
        environ: dict[str, str] | None = None,
        module: str = "launcher.runners.gunicorn",
        bind: str = "",
        family: int = socket.AF_INET,
        unlink: bool = False,
        **parameters: Any,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gunicorn-"))
        self.directory.chmod(0o755)
        self.output = self.directory / "output"
        for name, text in {"app.py": APP, **(files or {})}.items():
            (self.directory / name).parent.mkdir(exist_ok=True)
            (self.directory / name).write_text(text)
        self.path = str(self.directory / "socket")
        self.listener = socket.socket(family)
        self.listener.bind(self.path if family == socket.AF_UNIX else ("127.0.0.1", 0))
        self.address = f"unix:{self.path}" if family == socket.AF_UNIX else "{}:{}".format(*self.listener.getsockname())
        words = [sys.executable, "-P", "-m", module, "--config", "python:launcher.runners.gunicorn"]
        words += ["--worker-class", "launcher.runners.gthread.Worker", "--no-control-socket"]
        words += ["--worker-tmp-dir", str(self.directory), "--workers", str(workers), "--threads", str(threads)]
        words += [flag.replace("DIR", str(self.directory)) for flag in flags]
        if bind:
            self.listener.close()
            words += ["--bind", self.address]
            self.command = [*words, app]
        else:
            self.listener.listen(128)
            self.command = [sys.executable, "-c", INHERIT, str(self.listener.fileno()), *words, app]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GUNICORN", "LISTEN"))}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                env={
                    **kept,
                    "PYTHONPATH": str(ROOT),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    **(environ or {}),
                    "LAUNCHER_GUNICORN": json.dumps(parameters),
                    "LAUNCHER_UNLINK": self.path if unlink else "",
                },
                cwd=self.directory,
                pass_fds=() if bind else (self.listener.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.listener.close()

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def client(self) -> Client:
        return Client(self.address)

    def ask(self, target: str = "/", *headers: str) -> Response:
        with self.client() as client:
            return client.ask(target, *headers)

    def pid(self) -> int:
        return int(self.ask().json()["pid"])

    def started(self) -> list[int]:
        """Return the workers that have been started so far."""
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.text)]

    def wait_for_line(self, pattern: str, times: int = 1) -> None:
        wait_for(lambda: len(re.findall(pattern, self.text)) >= times, pattern)

    def wait_until_all_serve(self, workers: int) -> None:
        """Wait until so many workers have answered."""
        seen: set[int] = set()

        def all_seen() -> bool:
            with contextlib.ExitStack() as stack:
                # Held at the same time, so that they are spread.
                for client in [stack.enter_context(self.client()) for _ in range(2 * workers)]:
                    seen.add(client.ask("/").json()["pid"])
            return len(seen) >= workers

        wait_for(all_seen, f"{workers} workers")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    def __enter__(self) -> "Gunicorn":
        if not self.listener_is_ours():
            wait_for(self.connects, "the address")
        return self

    def listener_is_ours(self) -> bool:
        return INHERIT in self.command

    def connects(self) -> bool:
        try:
            self.client().close()
        except OSError:
            return False
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        left = list(session_members(self.process.pid))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        print(f"output of {self.command}:\n{self.text}")
        shutil.rmtree(self.directory)
        assert error is not None or not left, f"processes left: {left}"


class Crowd:
    """Clients that keep their connections while the server lets them, and say who answers them."""

    def __init__(self, server: Gunicorn, size: int) -> None:
        self.server = server
        self.clients: list[Client | None] = [None] * size
        self.answered_by: list[int] = [0] * size

    def ask_all(self) -> Counter[int]:
        """Let each ask once, all at the same time; return how many each process answered."""
        for number, client in enumerate(self.clients):
            client = client or self.server.client()
            client.get("/")
            self.clients[number] = client
        for number, client in enumerate(self.clients):
            assert client is not None
            answer = client.answer()
            self.answered_by[number] = answer.json()["pid"]
            if answer.headers["connection"] == "close":
                client.close()
                self.clients[number] = None
        return Counter(self.answered_by)

    def wait_until_even(self, workers: int) -> None:
        def even() -> bool:
            shares = self.ask_all()
            return len(shares) == workers and max(shares.values()) - min(shares.values()) <= 2

        wait_for(even, f"a fair share for each of {workers} workers")

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *error: object) -> None:
        for client in self.clients:
            if client is not None:
                client.close()


# Who answers


@pytest.mark.parametrize("bind", ["", "by name"], ids=["inherited", "bound"])
def test_every_worker_gets_its_fair_share_of_kept_connections(bind: str) -> None:
    with Gunicorn("--keep-alive", "60", workers=3, bind=bind) as server, Crowd(server, 24) as crowd:
        crowd.wait_until_even(3)


def test_new_worker_gets_its_share_of_kept_connections() -> None:
    with Gunicorn("--keep-alive", "60", workers=2) as server, Crowd(server, 12) as crowd:
        crowd.wait_until_even(2)
        victim = crowd.answered_by[0]
        os.kill(victim, signal.SIGKILL)
        for number, pid in enumerate(crowd.answered_by):
            client = crowd.clients[number]
            if pid == victim and client is not None:
                client.close()
                crowd.clients[number] = None
        wait_for(lambda: len(server.started()) == 3, "a third worker")
        crowd.wait_until_even(2)
        assert victim not in crowd.answered_by


def test_nobody_starves_while_a_worker_does_nothing() -> None:
    with Gunicorn("--keep-alive", "60", workers=2) as server:
        server.wait_until_all_serve(2)
        stopped, working = server.started()
        os.kill(stopped, signal.SIGSTOP)
        try:
            wait_for(lambda: all(state == "T" for state in thread_states(stopped)), "the worker to stand still")
            with Crowd(server, 20) as crowd:
                assert set(crowd.ask_all()) == {working}
        finally:
            os.kill(stopped, signal.SIGCONT)


def thread_states(pid: int) -> Iterator[str]:
    """Yield the letter of each thread. Source: proc_pid_stat(5)."""
    for file in Path(f"/proc/{pid}/task").glob("*/stat"):
        yield file.read_text().rpartition(")")[2].split()[0]


def test_connections_beyond_the_limit_wait_for_others_to_leave() -> None:
    with Gunicorn("--keep-alive", "60", "--worker-connections", "3") as server:
        clients = [server.client() for _ in range(4)]
        for client in clients[:3]:
            assert client.ask("/").status == 200
        clients[3].get("/")
        clients[0].close()
        assert clients[3].answer().status == 200
        for client in clients:
            client.close()


def test_client_hears_of_the_end_though_a_child_holds_its_connection() -> None:
    with Gunicorn() as server, server.client() as client:
        hold = Hold(server.directory)
        client.get(f"/fork?{hold.path}", version="1.0")
        hold.wait_until_held()
        assert client.rest()
        hold.release()


def test_worker_without_a_descriptor_left_serves_whom_it_has() -> None:
    with Gunicorn("--keep-alive", "60", max_worker_memory=10**12) as server, server.client() as client:
        pid = client.ask("/").json()["pid"]
        leave_no_descriptor(pid)
        with server.client() as late:
            late.get("/")
            since = time.monotonic()
            server.wait_for_line("Cannot accept", times=3)
            assert time.monotonic() - since > 0.9, "it tries all the time"
            assert client.ask("/").json()["pid"] == pid
            client.close()
            assert late.answer().json()["pid"] == pid


def test_client_that_gets_the_descriptor_of_one_who_goes_is_not_lost() -> None:
    late = """
import time
from app import app
from launcher.runners import gunicorn_clients

has_input = gunicorn_clients.has_input

def has_input_with_a_pause_after_it(sock):
    found = has_input(sock)
    print("looks", flush=True)
    time.sleep(0.5)
    print("has looked", flush=True)
    return found

gunicorn_clients.has_input = has_input_with_a_pause_after_it
"""
    with Gunicorn("--keep-alive", "1", app="late:app", files={"late.py": late}) as server:
        with server.client() as first:
            assert first.ask("/").status == 200
            server.wait_for_line("looks")
        with server.client() as second:
            server.wait_for_line("has looked")
            assert second.ask("/").status == 200


def test_limit_of_a_month_is_no_fault() -> None:
    with Gunicorn(client_timeout=30 * 86400) as server:
        assert server.ask().status == 200


# Slow clients


def test_slow_clients_do_not_hold_a_thread() -> None:
    with Gunicorn(threads=1) as server, contextlib.ExitStack() as stack:
        for sent in [
            "",
            "GET / HT",
            "GET / HTTP/1.1\r\nHost: x\r\n",
            "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
        ]:
            for _ in range(5):
                stack.enter_context(server.client()).send(sent)
        assert server.ask().status == 200


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
        "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nx",
        f"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9{HELD_BYTES}\r\n\r\n" + "x" * (HELD_BYTES + 1),
    ],
    ids=["nothing", "line", "head", "body", "chunk", "long-body"],
)
def test_client_that_falls_silent_is_cut(sent: str) -> None:
    with Gunicorn("--keep-alive", "60", threads=1, client_timeout=0.5) as server, server.client() as client:
        client.send(sent)
        client.rest()
        assert server.ask().status == 200


def test_silence_between_two_requests_is_not_the_clients_fault() -> None:
    flags = ["--keep-alive", "60"]
    with Gunicorn(*flags, client_timeout=0.2) as server, server.client() as idle, server.client() as silent:
        assert idle.ask("/").status == 200
        assert silent.rest() == b""  # it came later, and has been cut already
        assert idle.ask("/").status == 200


def test_half_a_request_after_a_whole_one_is_cut_too() -> None:
    with Gunicorn("--keep-alive", "60", client_timeout=0.3) as server, server.client() as client:
        assert client.ask("/").status == 200
        client.send("GET / HTTP/1.1\r\nHo")
        assert client.rest() == b""


def test_application_hears_that_the_body_does_not_come() -> None:
    with Gunicorn(threads=1, client_timeout=0.3) as server, server.client() as client:
        client.send(f"POST /try HTTP/1.1\r\nHost: a\r\nContent-Length: 9{HELD_BYTES}\r\n\r\n" + "x" * HELD_BYTES)
        client.rest()
        server.wait_for_line("read failed: ConnectionResetError")
        assert server.ask().status == 200
        assert "Traceback" not in server.text


def test_client_that_does_not_read_its_answer_is_cut() -> None:
    with Gunicorn(threads=1, client_timeout=0.3) as server, server.client() as client:
        client.get("/endless")
        server.wait_for_line("closed")
        assert server.ask().status == 200


def test_client_that_does_not_read_a_file_is_cut(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(100_000_000)
    with Gunicorn(threads=1, client_timeout=0.3) as server, server.client() as client:
        client.get(f"/file?{large}")
        client._until(b"\r\n\r\n")
        assert server.ask().status == 200


def test_answer_may_take_longer_than_the_timeout_while_it_moves() -> None:
    with Gunicorn(threads=1, client_timeout=2) as server, server.client() as client:
        client.get("/large")
        slow_until, received = time.monotonic() + 5, 0
        while received < LARGE:
            piece = client.sock.recv(65536)
            assert piece, f"cut after {received} bytes"
            received += len(piece)
            if time.monotonic() < slow_until:
                time.sleep(0.01)


def test_body_may_take_longer_than_the_timeout_while_it_moves() -> None:
    with Gunicorn(threads=1, client_timeout=2) as server, server.client() as client:
        client.send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            time.sleep(0.2)
            client.send("x")
        assert client.answer().body == b"20"


def test_clients_that_never_close_do_not_hold_up_others() -> None:
    with Gunicorn("--keep-alive", "0", threads=1) as server, contextlib.ExitStack() as stack:
        # At 2 s each, one after the other, they would outlast the deadline.
        for _ in range(40):
            assert stack.enter_context(server.client()).ask("/").status == 200


def test_answer_arrives_though_the_body_was_not_read() -> None:
    with Gunicorn(threads=1) as server, server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2000000\r\n\r\n")
        client.send(b"x" * 2_000_000)
        assert client.answer().status == 200


# HTTP, as gunicorn speaks it


def test_requests_sent_at_once_are_answered_in_turn() -> None:
    with Gunicorn() as server, server.client() as client:
        client.send("".join(f"GET /?{number} HTTP/1.1\r\nHost: x\r\n\r\n" for number in range(20)))
        assert [client.answer().json()["input"] for _ in range(20)] == [str(number) for number in range(20)]


@pytest.mark.parametrize("size", [0, 1, HELD_BYTES, HELD_BYTES + 1, 3_000_000])
def test_body_arrives_whole_and_the_connection_lives_on(size: int) -> None:
    with Gunicorn() as server, server.client() as client:
        for _ in range(2):
            client.send(f"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size)
            assert client.answer().body == str(size).encode()


def test_chunked_body_is_read() -> None:
    with Gunicorn() as server, server.client() as client:
        for _ in range(2):
            client.send("POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            client.send("4\r\nabcd\r\n0\r\n\r\n")
            assert client.answer().body == b"7"


def test_client_that_waits_for_100_continue_gets_it() -> None:
    with Gunicorn() as server, server.client() as client:
        client.send("POST /read HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.answer().status == 100
        client.send("abc")
        assert client.answer().body == b"3"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET / HTTP/1.1\nHost: x\n", 400),
        ("nonsense\r\n\r\n", 400),
        (f"GET /{'x' * 5000} HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (f"GET / HTTP/1.1\r\nX: {'x' * 9000}\r\n\r\n", 431),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12", 400),
    ],
    ids=["bare-lf", "nonsense", "long-line", "long-header", "length", "two-lengths"],
)
def test_bad_request_is_refused(sent: str, status: int) -> None:
    with Gunicorn() as server, server.client() as client:
        client.send(sent)
        assert client.answer().status == status
        assert client.rest() == b""


def test_application_that_calls_exit_fails_one_request_only() -> None:
    with Gunicorn(threads=1) as server:
        first = server.pid()
        assert server.ask("/exit").status == 500
        assert server.pid() == first


def test_tls_clients_are_served_and_slow_ones_cut(tmp_path: Path) -> None:
    key, cert = str(tmp_path / "key"), str(tmp_path / "cert")
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=x",
        "-keyout",
        key,
        "-out",
        cert,
    ]
    subprocess.run(request, check=True, capture_output=True)
    trust = ssl.create_default_context(cafile=cert)
    trust.check_hostname = False
    with (
        Gunicorn("--certfile", cert, "--keyfile", key, threads=1, client_timeout=0.5) as server,
        server.client() as silent,
        server.client() as halfway,
    ):
        halfway.send(b"\x16\x03\x01")
        with trust.wrap_socket(server.client().sock) as sock:
            client = Client("", sock)
            assert [client.ask("/").status for _ in range(3)] == [200] * 3
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
            assert [client.answer().status for _ in range(3)] == [200] * 3
            client.send("GET / HT")
            client.rest()
        assert silent.rest() == b""
        halfway.rest()
        assert "Traceback" not in server.text


def test_uwsgi_protocol_is_served() -> None:
    variables = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REQUEST_URI": "/", "QUERY_STRING": "a", "HTTP_HOST": "x",
                 "SERVER_PROTOCOL": "HTTP/1.1"}  # fmt: skip
    block = b"".join(struct.pack("<H", len(text)) + text.encode() for pair in variables.items() for text in pair)
    with (
        Gunicorn("--protocol", "uwsgi", threads=1, client_timeout=0.5) as server,
        server.client() as slow,
        server.client() as client,
    ):
        slow.send(struct.pack("<BHB", 0, len(block), 0))
        client.send(struct.pack("<BHB", 0, len(block), 0) + block)
        assert client.answer().json()["input"] == "a"
        slow.rest()


# The end of a worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda number: number.name)
def test_request_in_flight_is_answered_when_the_server_stops(number: int) -> None:
    with Gunicorn() as server, server.client() as client:
        hold = Hold(server.directory)
        client.get(hold.target)
        hold.wait_until_held()
        server.process.send_signal(number)
        server.wait_for_line("Handling signal")
        hold.release()
        assert client.answer().status == 200
        assert server.wait() == 0


def test_idle_client_may_ask_once_more_while_the_worker_stops() -> None:
    with Gunicorn("--keep-alive", "60") as server, server.client() as idle, server.client() as busy:
        assert idle.ask("/").headers["connection"] == "keep-alive"
        hold = Hold(server.directory)
        busy.get(hold.target)
        hold.wait_until_held()
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_line("Handling signal: term")
        # The main process says so before the worker hears of it.
        while (answer := idle.ask("/")).headers["connection"] == "keep-alive":
            assert answer.status == 200
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        hold.release()
        assert busy.answer().status == 200
        assert server.wait() == 0


def test_idle_clients_do_not_keep_a_stopping_server() -> None:
    with Gunicorn("--keep-alive", "600") as server, server.client() as idle, server.client() as half:
        assert idle.ask("/").status == 200
        assert half.ask("/").status == 200
        assert server.stop() == 0


def test_stuck_request_is_cut_at_the_graceful_timeout() -> None:
    with Gunicorn("--graceful-timeout", "1", max_worker_age=1, client_timeout=600) as server:
        with server.client() as client:
            hold = Hold(server.directory)
            client.get(hold.target)
            hold.wait_until_held()
            assert client.rest() == b""
        server.wait_for_line("Time is up")
        wait_for(lambda: len(server.started()) >= 2, "another worker")
        assert server.ask().status == 200


@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["in-workers", "preload"])
def test_thread_that_the_application_left_keeps_no_process(flags: list[str]) -> None:
    left = "import threading\nfrom app import app\nthreading.Thread(target=threading.Event().wait).start()\n"
    with Gunicorn("--graceful-timeout", "1", *flags, app="left:app", files={"left.py": left}) as server:
        first = server.pid()
        os.kill(first, signal.SIGTERM)
        wait_for(lambda: first not in session_members(server.process.pid), "the end of the worker")
        assert server.pid() != first
        assert server.stop() == 0


@pytest.mark.parametrize("way", ["age", "memory", "requests", "hangup"])
def test_worker_gives_way_to_another_and_finishes_what_it_has(way: str) -> None:
    flags = ["--max-requests", "3"] if way == "requests" else []
    limits: dict[str, Any] = {"age": {"max_worker_age": 1}, "memory": {"max_worker_memory": 150_000_000}}.get(way, {})
    with Gunicorn(*flags, **limits) as server, server.client() as client:
        hold = Hold(server.directory)
        client.get(hold.target)
        hold.wait_until_held()
        first = server.started()[0]
        if way == "memory":
            assert server.ask("/grow").status == 200
        elif way == "hangup":
            os.killpg(server.process.pid, signal.SIGHUP)  # as a terminal does
        wait_for(lambda: server.pid() != first, "another worker")
        hold.release()
        assert client.answer().json()["pid"] == first


def test_old_workers_serve_until_those_of_a_reload_do() -> None:
    slow = """
try:
    open("slow").read()
except FileNotFoundError:
    pass
"""
    with Gunicorn(workers=2, files={"app.py": slow + APP}) as server:
        server.wait_until_all_serve(2)
        old = set(server.started())
        os.mkfifo(server.directory / "slow")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(server.started()) == 4, "new workers")
        for _ in range(20):
            assert server.pid() in old
        with (server.directory / "slow").open("w"):
            # Both have come to the import now, or will not find the file.
            (server.directory / "slow").unlink()
        wait_for(lambda: server.pid() not in old, "an answer by a new worker")
        server.wait_until_all_serve(2)
        server.wait_for_line("Worker exiting", times=2)


def test_server_stops_at_once_after_a_reload() -> None:
    with Gunicorn(workers=2) as server:
        server.wait_until_all_serve(2)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_line("Worker exiting", times=2)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 20  # and not after the graceful timeout, 30 s


def test_number_of_workers_stays_though_they_retire() -> None:
    with Gunicorn(workers=2, max_worker_age=1) as server:
        server.wait_for_line("Worker retires", times=4)
        assert server.ask().status == 200
        lines = server.text.splitlines()
        left = [len(re.findall("Booting", "\n".join(lines[:n]))) - len(re.findall("Worker exiting", "\n".join(lines[:n])))
                for n, line in enumerate(lines) if "Worker retires" in line]  # fmt: skip
        assert set(left) <= {2, 3}


def test_no_room_for_another_worker_is_waited_out() -> None:
    with Gunicorn("--worker-tmp-dir", "DIR/beats", workers=2, files={"beats/file": ""}) as server:
        server.wait_until_all_serve(2)
        room = server.directory / "beats"
        room.rename(server.directory / "away")
        os.kill(server.pid(), signal.SIGKILL)
        server.wait_for_line("No worker can be made: .* the next try is in 0.4 s")
        assert server.ask().status == 200
        (server.directory / "away").rename(room)
        server.wait_until_all_serve(2)


def test_worker_that_freezes_as_it_begins_to_serve_is_killed() -> None:
    freeze = """
import os, signal, threading
begin = threading.Thread.start
def freeze(thread):
    if thread.name == "request-1" and not os.path.exists("frozen"):
        open("frozen", "w").close()
        os.kill(os.getpid(), signal.SIGSTOP)
    begin(thread)
threading.Thread.start = freeze
"""
    with Gunicorn("--timeout", "2", files={"app.py": freeze + APP}) as server:
        server.wait_for_line("WORKER TIMEOUT")
        assert server.pid() == server.started()[1]


# Failures at the start


@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["in-workers", "preload"])
@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(4)", 4), ("1 / 0", 3)], ids=["exit-4", "error"])
def test_status_of_an_application_that_does_not_load(flags: list[str], code: str, status: int) -> None:
    with Gunicorn(*flags, workers=4, files={"app.py": code}) as server:
        # The interpreter's own status for an exception, where the main process imports the application.
        assert server.wait() == (1 if flags and status == 3 else status)
        assert "HaltServer" not in server.text


# Hooks


def test_unix_socket_is_removed_by_the_main_process_alone() -> None:
    with Gunicorn(family=socket.AF_UNIX, unlink=True) as server:
        os.kill(server.pid(), signal.SIGKILL)
        wait_for(lambda: len(server.started()) == 2, "a second worker")
        assert server.ask().status == 200
        assert server.stop() == 0
        assert not os.path.exists(server.path)


def test_unix_socket_that_is_not_named_stays() -> None:
    with Gunicorn(family=socket.AF_UNIX) as server:
        assert server.ask().status == 200
        assert server.stop() == 0
        assert os.path.exists(server.path)


def test_unix_socket_of_a_successor_stays() -> None:
    with Gunicorn(family=socket.AF_UNIX, unlink=True) as server, socket.socket(socket.AF_UNIX) as successor:
        assert server.ask().status == 200
        os.unlink(server.path)
        successor.bind(server.path)
        assert server.stop() == 0
        assert os.path.exists(server.path)


def test_the_umask_is_the_callers() -> None:
    before = os.umask(0)
    os.umask(before)
    with Gunicorn() as server:
        assert server.ask().json()["umask"] == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_worker_that_is_somebody_else_gives_way_too() -> None:
    with Gunicorn("--user", "nobody", workers=2, max_worker_age=1) as server:
        server.wait_for_line("Worker retires", times=3)
        server.wait_for_line("Worker exiting", times=2)
        assert server.ask().status == 200
        assert "Error" not in server.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_worker_gets_all_groups_and_the_home_of_its_user() -> None:
    members = [member for group in grp.getgrall() for member in group.gr_mem if member != "root"]
    account = pwd.getpwnam((members or ["nobody"])[0])
    flags = ["--user", account.pw_name, "--group", str(account.pw_gid)]
    with Gunicorn(*flags, initgroups_user=account.pw_name) as server:
        facts = server.ask().json()
    assert (facts["uid"], facts["gid"], facts["home"]) == (account.pw_uid, account.pw_gid, account.pw_dir)
    assert facts["groups"] == sorted(os.getgrouplist(account.pw_name, account.pw_gid))


# What could stand in the way


def test_stray_configuration_is_not_read() -> None:
    stray = {"gunicorn.conf.py": "raise SystemExit('gunicorn.conf.py was read')"}
    with Gunicorn(files=stray, environ={"GUNICORN_CMD_ARGS": "--workers 3 --nonsense"}) as server:
        assert server.ask().status == 200
        assert len(server.started()) == 1


def test_package_called_launcher_in_the_project_does_not_take_our_place() -> None:
    with Gunicorn(files={"launcher/__init__.py": "raise SystemExit('theirs')"}) as server:
        assert server.ask().status == 200


def test_plain_gunicorn_would_import_a_projects_package_called_launcher() -> None:
    """Why gunicorn is started through a module of ours."""
    with Gunicorn(module="gunicorn", files={"launcher/__init__.py": "raise SystemExit('theirs')"}) as server:
        assert server.wait() == 1
        assert "theirs" in server.text
