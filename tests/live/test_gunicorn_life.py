"""The life of a gunicorn that `serve` started: ready, reload, stop, crash."""

import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from launcher.testing.client import Client
from launcher.testing.hold import held
from launcher.testing.serving import Serving, session_members, wait_for
from tests.live.gunicorn_site import BROKEN, Site, application, notify_socket
from tests.live.load import Load
from tests.live.runner_process import shut_out

pytestmark = pytest.mark.live

KIT = "launcher.testing.application:app"

PRELOAD = pytest.mark.parametrize("preload", [False, True], ids=["in-workers", "preload"])


def status(site: Site) -> dict[str, Any]:
    done = site.command("status", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    one: dict[str, Any] = found[0] if isinstance(found, list) else found
    return one


def until(receive: Callable[..., str], wanted: str) -> list[str]:
    """Return the messages up to the one that begins so."""
    messages = [receive()]
    while not messages[-1].startswith(wanted):
        messages.append(receive())
    return messages


# Ready


@PRELOAD
def test_ready_is_said_when_a_worker_can_answer_and_not_before(preload: bool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    code = f"open({str(gate)!r}).read()\n" + application("one")
    with notify_socket(tmp_path) as (path, receive):
        environ = {"NOTIFY_SOCKET": path}
        with Site(tmp_path, code=code, workers=1, preload=preload, ready=False, environ=environ) as site:
            assert receive().startswith("EXTEND_TIMEOUT_USEC=")
            with gate.open("w"):
                pass  # the import can go on only now
            assert until(receive, "READY=1")[-1] == "READY=1\nSTATUS=generation 1"
            site.addresses = site.announced()
            assert site.version() == "one"
            assert status(site)["ready"]
        assert until(receive, "STOPPING=1")


@PRELOAD
def test_application_that_cannot_be_loaded_ends_the_start(preload: bool, tmp_path: Path) -> None:
    with Site(tmp_path, code=BROKEN, preload=preload, bind=f"unix:{tmp_path}/socket", ready=False) as site:
        assert site.wait() == 4
    assert site.output.count("broken on purpose\n") == 1
    assert not [*tmp_path.glob("serve/serve-*"), *tmp_path.glob("socket")]


def test_nothing_but_the_log_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@" <&- >&-\n')
    python.chmod(0o755)
    with Site(tmp_path, python=str(python)) as site:
        for pid in site.tree():
            assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1)] == ["/dev/null"] * 2


# Reload


@pytest.mark.parametrize(("workers", "preload"), [(1, False), (1, True), (2, True)])
def test_nobody_notices_reloads_good_and_broken(workers: int, preload: bool, tmp_path: Path) -> None:
    with Site(tmp_path, code=application("0", 0.8), workers=workers, threads=8, preload=preload) as site:
        with Load(site.address, 6, "/brief", pause_s=0) as brief, Load(site.address, 2, "/slow", pause_s=0) as slow:
            for number in range(1, 4):
                site.write(application(str(number), 0.8))
                site.reload()
            site.write(BROKEN)
            done = site.command("reload")
            assert done.returncode == 4
            assert "broken on purpose" in done.stderr
            brief.wait_for_more()
        assert brief.failures + slow.failures == []
        assert {body.split()[0] for body in brief.bodies | slow.bodies} == {b"0", b"1", b"2", b"3"}
        assert site.version() == "3"
        assert site.output.count("[ERROR]") == 1


@PRELOAD
def test_reload_changes_what_the_profile_says(preload: bool, tmp_path: Path) -> None:
    with Site(tmp_path, preload=preload) as site:
        site.profile(workers=3, threads=2, log_level="warning", env={"COLOUR": "red"})
        assert "workers = 3" in site.reload()
        assert len(site.ready()) == 3
        assert b"red" in site.request("/").body
        # The old ones still tell that they exit.
        wait_for(lambda: len(status(site)["workers"]) == 3, "the old workers to be gone")
        said = site.output
        site.profile(workers=1)
        site.reload()
        wait_for(lambda: len(site.ready()) == 1, "one worker")
        assert site.output.removeprefix(said) == "", "log_level = warning had no effect"
        assert status(site)["generation"] == 3


@PRELOAD
def test_reload_keeps_sockets_that_were_passed_in(preload: bool, tmp_path: Path) -> None:
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        fds = tuple(listener.fileno() for listener in listeners)
        bind = [f"fd://{fd}" for fd in fds]
        site = stack.enter_context(Site(tmp_path, preload=preload, pass_fds=fds, bind=bind))
        for _ in range(2):
            site.reload()
            for listener in listeners:
                address = f"127.0.0.1:{listener.getsockname()[1]}"
                assert site.request("/", address=address).body.startswith(b"one")


@PRELOAD
def test_workers_that_fail_though_the_proof_did_not_leave_the_old_ones(preload: bool, tmp_path: Path) -> None:
    trap = (
        "import os\nif os.path.exists('proved'): raise RuntimeError('only in workers')\nopen('proved', 'w').close()\n"
    )
    with Site(tmp_path, preload=preload) as site, Load(site.address, 6, "/brief", pause_s=0) as load:
        site.write(trap + application("two"))
        done = site.command("reload")
        assert done.returncode == 4
        assert ("the main process cannot load" if preload else "ended before it was ready") in done.stderr
        assert site.version() == "one"
        wait_for(lambda: len(status(site)["workers"]) == 2, "the new workers to be gone")
        (tmp_path / "proved").unlink()
        site.write(application("three"))
        site.reload()
        assert site.version() == "three"
    assert load.failures == []


@PRELOAD
def test_reload_that_is_asked_for_during_a_reload_comes_afterwards(preload: bool, tmp_path: Path) -> None:
    with Site(tmp_path, preload=preload) as site:
        site.write(application("two", 0.5))
        site.signal(signal.SIGHUP)
        wait_for(lambda: site.output.count("Handling signal: hup") == 1, "the first")
        site.signal(signal.SIGHUP)
        site.write(application("three"))
        wait_for(lambda: "generation 3 serves" in site.output, "two reloads")
        assert site.version() == "three"


@PRELOAD
@pytest.mark.parametrize("phase", ["proving", "replacing"])
def test_stop_during_a_reload(phase: str, preload: bool, tmp_path: Path) -> None:
    with Site(tmp_path, preload=preload) as site:
        whom = "" if phase == "proving" else f"if {site.pid} in (os.getpid(), os.getppid()): "
        long = f"import os, time\n{whom}time.sleep(60)\n"
        site.write(long + application("two"))
        site.signal(signal.SIGHUP)
        record = next(tmp_path.glob("serve/serve-*")) / "reload.json"
        wait_for(lambda: record.exists() and f'"{phase}"' in record.read_text(), phase)
        begun = time.monotonic()
        site.stop_cleanly()
        assert time.monotonic() - begun < 20
        assert "Shutting down: Master" in site.output


@PRELOAD
def test_systemd_hears_of_a_reload(preload: bool, tmp_path: Path) -> None:
    with (
        notify_socket(tmp_path) as (path, receive),
        Site(tmp_path, preload=preload, environ={"NOTIFY_SOCKET": path}) as site,
    ):
        until(receive, "READY=1")
        site.reload()
        assert "MONOTONIC_USEC=" in until(receive, "RELOADING=1")[-1]
        assert until(receive, "READY=1")[-1] == "READY=1\nSTATUS=generation 2"
        site.write(BROKEN)
        site.command("reload")
        assert "STATUS=reload refused" in until(receive, "READY=1")[-1]


def test_watchdog_waits_while_the_main_process_loads_new_code(tmp_path: Path) -> None:
    with notify_socket(tmp_path) as (path, receive):
        environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"}
        with Site(tmp_path, preload=True, environ=environ) as site:
            site.reload()
            messages = until(receive, "WATCHDOG_USEC=2000000")
            assert any(each.startswith("WATCHDOG_USEC=300000000") for each in messages)
            until(receive, "READY=1")


def test_main_process_starts_again_though_nobody_reads_its_log(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/bash\nexec {sys.executable} "$@" 2> >(sed -u "/Booting/q" >&2)\n')
    python.chmod(0o755)
    with Site(tmp_path, preload=True, python=str(python)) as site:
        site.reload()
        site.stop()


def test_upgrade_by_sigusr2_is_refused(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.signal(signal.SIGUSR2)
        wait_for(lambda: "SIGUSR2 is refused" in site.output, "a line")
        assert site.version() == "one"


# Stop

CLOCK = """
import os, time
real, later = time.time, os.path.join(os.path.dirname(__file__), "later")
time.time = lambda: real() + 3600 * os.path.exists(later)
"""


def rests(pid: int) -> int:
    """Return how often a process has waited for something."""
    found = re.search(r"\nvoluntary_ctxt_switches:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def test_slow_requests_are_answered_before_the_end(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    with Site(tmp_path, app=KIT, keepalive="60s", environ={"PYTHONPATH": str(tmp_path)}) as site:
        both = [held(site, tmp_path) for _ in range(8)]
        site.signal(signal.SIGTERM)
        wait_for(lambda: refused(site), "the sockets to close")
        begun = rests(site.pid)
        (tmp_path / "later").touch()
        wait_for(lambda: rests(site.pid) > begun + 5, "the main process to look at its workers")
        for _, hold in both:
            hold.release()
        answers = [client.answer() for client, _ in both]
        assert [(each.status, each.headers["connection"]) for each in answers] == [(200, "close")] * 8
        assert site.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_who_waits_in_the_backlog_is_answered(number: int, tmp_path: Path) -> None:
    with Site(tmp_path, app=KIT, workers=1, threads=1) as site:
        client, hold = held(site, tmp_path)
        waiting = [site.client() for _ in range(10)]
        for each in waiting:
            each.get("/")
        site.signal(number)
        wait_for(lambda: refused(site), "the sockets to close")
        hold.release()
        for each in (client, *waiting):
            with each:
                assert each.answer().status == 200
        assert site.wait() == (0 if number == signal.SIGTERM else -number)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:DIR/s"])
def test_nobody_is_let_in_where_a_worker_is_slow_to_leave(bind: str, tmp_path: Path) -> None:
    with Site(tmp_path, bind=[bind.replace("DIR", str(tmp_path))]) as site:
        slow, quick = site.ready()
        os.kill(slow, signal.SIGSTOP)
        site.signal(signal.SIGTERM)
        wait_for(lambda: quick not in site.tree(), "a worker to go")
        assert shut_out(site.address)
        os.kill(slow, signal.SIGCONT)
        assert site.wait() == 0


def refused(site: Site) -> bool:
    try:
        site.client().close()
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_told_twice_it_goes_at_once(second: int, tmp_path: Path) -> None:
    with Site(tmp_path, app=KIT, graceful_timeout="600s") as site:
        client, _ = held(site, tmp_path)
        site.signal(signal.SIGTERM)
        wait_for(lambda: "Handling signal: term" in site.output, "the stop")
        site.signal(second)
        assert site.wait() == 0
        client.close()


def test_workers_that_are_being_forked_hear_of_a_stop(tmp_path: Path) -> None:
    """Each takes half a second for the way from the fork to its own signal handlers."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\nos.register_at_fork(after_in_child=lambda: time.sleep(0.5))\n"
    )
    options = {"server": "gunicorn", "app": KIT, "bind": ["127.0.0.1:0"], "workers": 4, "graceful_timeout": "600s"}
    with Serving(tmp_path, options, environ={"PYTHONPATH": str(tmp_path)}) as site:
        wait_for(lambda: len(site.tree()) == 5, "the forks")
        site.signal(signal.SIGTERM)
        assert site.wait() == 0


def test_drain_delay_serves_on_for_so_long(tmp_path: Path) -> None:
    with notify_socket(tmp_path) as (path, receive):
        environ = {"NOTIFY_SOCKET": path}
        with Site(tmp_path, drain_delay="2s", ready_path="/ready", environ=environ) as site:
            assert site.request("/ready").status == 200
            told = site.signal(signal.SIGTERM)
            until(receive, "STOPPING=1")
            assert site.request("/ready").status == 503
            assert site.version() == "one"
            assert site.wait() == 0
            assert time.monotonic() - told >= 2


# Crash


def test_killed_worker_is_replaced_and_one_line_says_so(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        victim = site.worker()
        (other,) = set(site.ready()) - {victim}
        gone = {other}  # and who was killed: the board may name him a moment longer

        def kill(pid: int) -> int:
            """Kill a worker; return the one that takes its place."""
            gone.add(pid)
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: set(site.ready()) - gone, "another worker")
            (successor,) = set(site.ready()) - gone
            return successor

        young = kill(victim)
        assert len(re.findall(rf"\[ERROR\].*{victim}", site.output)) == 1
        assert site.output.count("[ERROR]") == 1
        for pause in ("0.1", "0.2"):  # the next in a row
            killed, young = young, kill(young)
            assert re.search(
                rf"\(pid:{killed}\) ended .* after it was ready: the next try is in {pause} s", site.output
            )


def test_workers_go_when_the_main_process_was_killed(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.signal(signal.SIGKILL)
        site.process.wait()
        wait_for(lambda: not list(session_members(site.pid)), "the workers to go")


def test_broken_code_on_disk_does_not_end_a_server_that_loses_a_worker(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.write(BROKEN)
        os.kill(site.worker(), signal.SIGKILL)
        wait_for(lambda: "ended before it was ready" in site.output, "a failed start")
        assert site.version() == "one"
        site.write(application("two"))
        wait_for(lambda: len(site.ready()) == 2, "a second worker")


def test_watchdog_is_fed_while_requests_are_taken(tmp_path: Path) -> None:
    with notify_socket(tmp_path) as (path, receive):
        environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"}
        with Site(tmp_path, app=KIT, workers=1, threads=2, environ=environ) as site:
            for _ in range(3):
                until(receive, "WATCHDOG=1")
            both = [held(site, tmp_path) for _ in range(2)]
            wait_for(lambda: silent(receive), "the watchdog to go hungry")
            for client, hold in both:
                hold.release()
                client.close()
            until(receive, "WATCHDOG=1")


def silent(receive: Callable[..., str]) -> bool:
    """Return whether nothing is heard for longer than systemd would wait."""
    try:
        receive(4)
    except TimeoutError:
        return True
    return False


def test_client_of_a_reload_is_told_to_move(tmp_path: Path) -> None:
    with Site(tmp_path, keepalive="60s") as site, Client(site.address) as client:
        client.get("/")
        assert client.answer().headers["connection"] == "keep-alive"
        site.reload()
        client.get("/")
        assert client.answer().headers["connection"] == "close"


# A request that takes too long


STUCK = """
import threading

def app(environ, start_response):
    if environ["PATH_INFO"] == "/begun":
        start_response("200 OK", [("Content-Length", "2")])
        yield b"1"
    if environ["PATH_INFO"] in ("/begun", "/stuck"):
        never_set = threading.Event()
        never_set.wait()
    start_response("200 OK", [("Content-Length", "1")])
    yield b"1"
"""


@pytest.mark.parametrize("path", ["/stuck", "/begun"])
def test_request_that_takes_too_long_is_cut_and_its_worker_replaced(path: str, tmp_path: Path) -> None:
    with (
        Site(tmp_path, code=STUCK, request_timeout="1s", graceful_timeout="1s", workers=1) as site,
        site.client() as client,
    ):
        first = site.ready()
        began = time.monotonic()
        client.get(path)
        if path == "/stuck":
            answer = client.answer()
            assert (answer.status, answer.headers["connection"]) == (503, "close")
        else:
            assert client.rest().endswith(b"\r\n\r\n1")
        assert time.monotonic() - began >= 1
        assert re.search(rf"Request GET {path} took longer than 1 s(?s:.*)never_set.wait", site.output)
        wait_for(lambda: site.ready() and site.ready() != first, "another worker")
        assert site.request("/").status == 200
        wait_for(lambda: first[0] not in site.tree(), "the end of the first")
