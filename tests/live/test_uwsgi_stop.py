"""SIGTERM on uWSGI: systemd hears of it at once in every mode, and no worker is needed to end the server."""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from launcher.testing.hold import held
from launcher.testing.serving import Serving, Typed, clean_environment, wait_for, write_project
from tests.machine import LIKE_ANYONE

from .gunicorn_site import notify_socket
from .load import Load
from .runner_process import shut_out
from .uwsgi_site import Site, workers

pytestmark = pytest.mark.live

MODES: dict[str, dict[str, Any]] = {"plain": {}, "preload": {"preload": True}, "router": {"keepalive": "5s"}}
MODE = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


@MODE
def test_systemd_hears_at_once_and_what_is_in_flight_is_answered(mode: dict[str, Any], tmp_path: Path) -> None:
    with notify_socket(tmp_path) as (path, receive):
        options = {"workers": 2, "threads": 2, "ready_path": "/ready", **mode}
        with Site(tmp_path).serving({"NOTIFY_SOCKET": path}, **options) as serving:
            client, hold = held(serving, tmp_path)
            serving.signal(signal.SIGTERM)
            while "STOPPING=1" not in receive():
                pass
            hold.release()
            assert client.answer().status == 200
            client.close()
            assert serving.wait() == 0
            assert "unlink()" not in serving.messages  # it complains of nothing that is gone


@MODE
def test_a_server_whose_workers_are_all_stuck_ends_after_the_grace(mode: dict[str, Any], tmp_path: Path) -> None:
    with Site(tmp_path).serving(workers=2, graceful_timeout=1, **mode) as serving:
        wait_for(lambda: len(workers(serving)) == 2 + bool(mode.get("keepalive")), "the workers")
        for pid in workers(serving):
            os.kill(pid, signal.SIGSTOP)
        serving.stop_cleanly()


def test_a_worker_that_is_about_to_be_replaced_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    """uWSGI 2.0.30 notes the stop, makes the worker all the same, and never tells it."""
    site = Site(tmp_path)
    site.write(1, "os.register_at_fork(before=lambda: time.sleep(1))")
    with site.serving(workers=1, preload=True) as serving:
        (pid,) = workers(serving)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: "trying respawn" in serving.output, "the master to see it")
        began = time.monotonic()
        serving.stop_cleanly()
        assert time.monotonic() - began < 10  # graceful_timeout is 30 s


WHERE = pytest.mark.parametrize(
    ("bind", "rights"),
    [("127.0.0.1:0", ()), ("127.0.0.1:0", LIKE_ANYONE), ("unix:DIR/s.sock", ())],
    ids=["tcp", "tcp, without rights", "unix"],
)


@WHERE
def test_whom_the_kernel_has_accepted_is_answered_and_nobody_is_let_in_after_that(
    bind: str, rights: Sequence[str], tmp_path: Path
) -> None:
    Site(tmp_path).serving(workers=1, threads=1, bind=bind.replace("DIR", str(tmp_path)))
    serve = (*rights, sys.executable, "-P", "-m", "launcher", "--profile", "kit")
    with Serving(tmp_path, {}, command=Typed(serve, clean_environment(), ())) as serving:
        first, hold = held(serving, tmp_path)
        waiting = [serving.client() for _ in range(5)]
        for client in waiting:
            client.get("/")
        serving.signal(signal.SIGTERM)
        wait_for(lambda: shut_out(serving.address), "a door that is closed")
        hold.release()
        for client in (first, *waiting):
            assert client.answer().status == 200
            client.close()
        assert serving.wait() == 0


AS_SYSTEMD_DOES = (
    "import os, sys; os.environ['SYSTEMD_EXEC_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.parametrize("teller", ["serve stop", "systemd"])
def test_a_stop_is_heard_while_uwsgi_ignores_the_signal(teller: str, tmp_path: Path) -> None:
    """uWSGI 2.0.30 ignores SIGTERM while it begins: here it reads a pipe first that nobody has written."""
    pipe = tmp_path / "word"
    os.mkfifo(pipe)
    Site(tmp_path)
    # By Python, whose calls a signal does not interrupt.
    native = {"uwsgi": {"hook-asap": f"call:PyRun_SimpleString open({str(pipe)!r}).read()"}}
    profile = {"app": "site_of_tests:app", "server": "uwsgi", "bind": "127.0.0.1:0", "native": native}
    write_project(tmp_path, profile, name="kit", files={})
    before = (sys.executable, "-c", AS_SYSTEMD_DOES) if teller == "systemd" else ()
    serve = (*before, sys.executable, "-P", "-m", "launcher", "--profile", "kit")
    environ = {**clean_environment(), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = Typed(serve, environ, ())
    with Serving(tmp_path, {}, command=command, ready=False) as serving, ThreadPoolExecutor() as beside:
        wait_for(lambda: ignored(serving.pid, signal.SIGTERM), "uWSGI to ignore it")
        if teller == "systemd":
            serving.signal(signal.SIGTERM)
            serving.signal(signal.SIGCONT)
        else:
            told = beside.submit(serving.command, "stop")
            wait_for(lambda: list(tmp_path.glob("serve/*/draining")), "the word of it")
        pipe.write_text("")
        if teller == "serve stop":
            assert told.result().returncode == 0
        assert serving.wait() == 0


def ignored(pid: int, number: int) -> bool:
    """Source: proc_pid_status(5), SigIgn."""
    (mask,) = re.findall(r"SigIgn:\t(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask, 16) >> (number - 1) & 1)


PASSED_IN = {
    "LISTEN_FDS": """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
""",
    "bind": "import os, sys; os.execv(sys.argv[2], [*sys.argv[2:], '--bind', f'fd://{sys.argv[1]}'])",
}


@pytest.mark.parametrize("script", PASSED_IN.values(), ids=PASSED_IN)
def test_a_socket_that_was_passed_in_keeps_its_door_open(script: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address, fd = f"127.0.0.1:{listener.getsockname()[1]}", listener.fileno()
        write_project(tmp_path, {"app": "site_of_tests:app", "server": "uwsgi", "bind": address}, name="kit", files={})
        serve = (sys.executable, "-P", "-m", "launcher", "--profile", "kit")
        # Bytecode of a file that changes within its second would be taken for the new one's.
        environ = {**clean_environment(), "PYTHONDONTWRITEBYTECODE": "1"}
        command = Typed((sys.executable, "-c", script, str(fd), *serve), environ, (address,))
        with Serving(tmp_path, {}, command=command, pass_fds=[fd]) as serving:
            serving.stop_cleanly()
            late = serving.client()
            late.get("/")
        site.write(2)
        with Serving(tmp_path, {}, command=command, pass_fds=[fd]):
            assert late.answer().body.startswith(b"2 ")
            late.close()


@pytest.mark.parametrize("keepalive", ["off", "5s"])
@WHERE
def test_a_stop_under_load_resets_nobody(bind: str, rights: Sequence[str], keepalive: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"bind": bind.replace("DIR", str(tmp_path)), "keepalive": keepalive}
    Site(tmp_path).serving(workers=2, threads=2, **options)
    serve = (*rights, sys.executable, "-P", "-m", "launcher", "--profile", "kit")
    with Serving(tmp_path, {}, command=Typed(serve, clean_environment(), ())) as serving:
        with Load(serving.address, 8, "/sleep?s=0.01", keep=False, pause_s=0.001) as load:
            load.wait_for_more()
            serving.signal(signal.SIGTERM)
            assert serving.wait() == 0
        assert [each for each in load.failures if not re.search("ConnectionRefused|FileNotFound", each)] == []
