"""The supervisor of waitress and wsgiref, with real workers."""

import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from launcher.testing.serving import session_members, wait_for
from tests.live.load import Load
from tests.live.runner_process import Client, Hold, Runner, refused

pytestmark = pytest.mark.live

SERVERS = ("waitress", "wsgiref")


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def workers_of(runner: Runner) -> set[int]:
    """Return the children of the supervisor."""
    text = Path(f"/proc/{runner.process.pid}/task/{runner.process.pid}/children").read_text()
    return set(map(int, text.split()))


def wait_for_workers(runner: Runner, count: int, *, but: int = 0) -> set[int]:
    """Wait until so many workers answer requests, and return them."""
    found: set[int] = wait_for(
        lambda: len(pids := workers_of(runner) - {but}) == count and pids, f"{count} workers besides {but}"
    )
    seen: set[int] = set()

    def all_answer() -> bool:
        seen.add(runner.ask("/process").json()["pid"])
        return found <= seen

    wait_for(all_answer, f"answers of {found}")
    return found


def modules_of(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


# Workers


def test_main_process_is_a_parent_only(server: str) -> None:
    with Runner(server, "--workers", "2") as runner:
        pids = wait_for_workers(runner, 2)
        assert runner.process.pid not in pids
        tasks = os.listdir(f"/proc/{runner.process.pid}/task")
        assert len(tasks) == 1, "it has threads"
        # Of C extensions at least one can see which are there; the server's own modules need these.
        assert not re.search(r"_ssl|_queue|libssl", modules_of(runner.process.pid))
        assert runner.stop() == 0


def test_worker_does_not_know_the_service_manager(server: str) -> None:
    with Runner(server) as runner:
        (pid,) = workers_of(runner)
        environ = runner.ask("/variables").json()
        assert pid != runner.process.pid
        assert "NOTIFY_SOCKET" not in environ
        assert runner.stop() == 0


def test_killed_worker_loses_what_it_had_in_hand_only(server: str) -> None:
    with Runner(server, "--workers", "2", "--threads", "4") as runner:
        first = min(wait_for_workers(runner, 2))
        with Load(runner.address, clients=6) as load:
            load.wait_for_more()
            os.kill(first, signal.SIGKILL)
            wait_for_workers(runner, 2, but=first)
            load.wait_for_more()
        assert len(load.failures) <= 6, load.failures
        assert f"(pid {first}) was ended by SIGKILL: another is started" in runner.text
        assert runner.stop() == 0


def test_worker_that_is_told_to_stop_by_somebody_is_replaced_meanwhile(server: str) -> None:
    with Runner(server, "--workers", "1") as runner, runner.client() as client:
        hold = Hold(runner.directory)
        client.get(hold.target)
        hold.wait_until_held()
        (first,) = workers_of(runner)
        os.kill(first, signal.SIGTERM)
        wait_for(lambda: runner.ask("/process").json()["pid"] != first, "another worker")
        hold.release()
        assert client.answer().body == b"held"
        assert runner.stop() == 0


def test_workers_that_die_at_start_end_the_service(server: str) -> None:
    with Runner(server, app="tests.apps.imports:app", environ={"TEST_IMPORT": "killed"}, ready=False) as runner:
        assert runner.wait() == 6
        assert "5 in a row did, and none is left: giving up" in runner.text


BROKEN = """
import os, time

os.open(f"at-{os.getpid()}", os.O_CREAT)
while sum(name.startswith("at-") for name in os.listdir()) < 3:
    time.sleep(0.01)
raise LookupError("broken code")
"""


def test_of_workers_that_fail_together_one_says_why(server: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    told = json.dumps({"target": "broken:app", "path": [str(tmp_path)]})
    environ = {"LAUNCHER_APPLICATION": told}
    flags = ("--workers", "3")
    with Runner(server, *flags, app="launcher.wsgi:application", environ=environ, ready=False) as runner:
        assert runner.wait() == 4
        assert runner.text.count("serve: broken cannot be imported") == 1, runner.text


def test_log_that_cannot_be_written_ends_nothing(server: str) -> None:
    python = ("sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh", sys.executable)
    with Runner(server, bind=["unix:DIR/socket"], python=python, ready=False) as runner:
        runner.wait_for_notice("READY=1")
        runner.addresses = [f"unix:{runner.directory}/socket"]
        (first,) = wait_for_workers(runner, 1)
        os.kill(first, signal.SIGKILL)
        wait_for_workers(runner, 1, but=first)
        runner.stop()


# Stop


def test_term_answers_all_that_is_in_flight(server: str) -> None:
    with Runner(server, "--workers", "2", "--threads", "8") as runner, contextlib.ExitStack() as stack:
        holds = [Hold(runner.directory) for _ in range(8)]
        clients = [stack.enter_context(runner.client()) for _ in holds]
        for client, hold in zip(clients, holds, strict=True):
            client.get(hold.target)
            hold.wait_until_held()
        runner.tell(signal.SIGTERM)
        wait_for(lambda: refused(runner.address), "a closed listener")
        for hold in holds:
            hold.release()
        assert [client.answer().body for client in clients] == [b"held"] * 8
        assert runner.wait() == 0


def test_term_answers_what_the_kernel_has_accepted_for_several(server: str) -> None:
    with Runner(server, "--workers", "2") as runner, contextlib.ExitStack() as stack:
        pids = wait_for_workers(runner, 2)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        clients = [stack.enter_context(runner.client()) for _ in range(20)]
        for client in clients:
            client.get("/hello")
        runner.tell(signal.SIGTERM)
        runner.wait_for_line("stopping on SIGTERM")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert [client.answer().body for client in clients] == [b"hello"] * 20
        assert runner.wait() == 0


def test_drain_delay_serves_on(server: str) -> None:
    with Runner(server, "--drain-delay", "1") as runner:
        since = runner.tell(signal.SIGTERM)
        runner.wait_for_notice("STOPPING=1")
        assert runner.ask("/hello").body == b"hello"
        assert runner.wait() == 0
        assert time.monotonic() - since >= 1


def test_workers_go_when_their_supervisor_is_killed(server: str) -> None:
    with Runner(server, "--workers", "2", bind=["unix:DIR/socket"]) as runner, contextlib.ExitStack() as stack:
        busy = min(wait_for_workers(runner, 2))
        os.kill(busy, signal.SIGSTOP)
        client, hold = stack.enter_context(runner.client()), Hold(runner.directory)
        client.get(hold.target)
        hold.wait_until_held()
        runner.tell(signal.SIGKILL)
        runner.wait()
        runner.wait_for_line("the supervisor has gone")
        assert refused(runner.address)  # though a worker listens
        os.kill(busy, signal.SIGCONT)
        hold.release()
        assert client.answer().body == b"held"
        wait_for(lambda: not list(session_members(runner.process.pid)), "the workers to go")
        assert (runner.directory / "socket").exists()
        again = Runner(server, bind=[f"unix:{runner.directory}/socket"])
        with again:
            assert again.ask("/hello").body == b"hello"
            assert again.stop() == 0
        assert not (runner.directory / "socket").exists()


# Preload


def test_preload_reports_what_workers_cannot_share(server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        environ = {"TEST_IMPORT": "opens", "TEST_PORT": port}
        flags = ("--preload", "--workers", "2")
        with Runner(server, *flags, app="tests.apps.imports:app", environ=environ) as runner:
            pids = workers_of(runner)
            wait_for(lambda: len(workers_of(runner)) == 3, "two workers, and what they are made from")
            assert runner.ask("/hello").body == b"hello"
            assert f"preload: an open socket to 127.0.0.1:{port} was there before the fork" in runner.text
            assert "preload: the thread left-behind was there before the fork" in runner.text
            assert pids
            assert runner.stop() == 0


def test_preloaded_worker_is_replaced_without_another_import(server: str) -> None:
    with Runner(server, "--preload", "--workers", "1", app="tests.apps.imports:app") as runner:
        first = runner.ask("/process").json()["pid"]
        os.kill(first, signal.SIGKILL)
        assert runner.ask("/process").json()["pid"] != first
        assert runner.stop() == 0


def test_what_preloaded_workers_are_forked_from_comes_back(server: str) -> None:
    with Runner(server, "--preload", "--workers", "1", app="tests.apps.imports:app") as runner:
        first = runner.ask("/process").json()["pid"]
        (template,) = set(session_members(runner.process.pid)) - {runner.process.pid, first}
        os.kill(template, signal.SIGKILL)
        runner.wait_for_line(rf"what workers are forked from \(pid {template}\) was ended by SIGKILL: .*")
        os.kill(first, signal.SIGKILL)
        assert runner.ask("/process").json()["pid"] != first
        assert runner.stop() == 0


@pytest.mark.parametrize(("doing", "status"), [("exit", 23), ("error", 4)])
def test_preload_that_fails_ends_the_service(server: str, doing: str, status: int) -> None:
    environ = {"TEST_IMPORT": doing}
    flags = ("--preload", "--workers", "2")
    with Runner(server, *flags, app="tests.apps.imports:app", environ=environ, ready=False) as runner:
        assert runner.wait() == status


# Balance


def test_connections_that_are_kept_are_shared_fairly(server: str) -> None:
    """Also those that come all at once: none of two workers has more than three quarters of them."""
    flags = ("--workers", "2", "--threads", "4", "--keepalive", "60")
    with Runner(server, *flags) as runner, contextlib.ExitStack() as stack:
        wait_for_workers(runner, 2)
        clients = [stack.enter_context(Client(runner.address)) for _ in range(32)]
        answered = [client.ask("/process").json()["pid"] for client in clients]
        shares = sorted(answered.count(pid) for pid in set(answered))
        assert len(shares) == 2, shares
        assert shares[1] <= 24, shares
        assert runner.stop() == 0
