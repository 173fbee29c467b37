"""What the runners of waitress and wsgiref have in common: their sockets, signals, files, rights and times."""

import contextlib
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import waitress  # type: ignore[import-untyped]  # waitress 3.0.2 ships no types

from launcher.testing.serving import wait_for
from tests.live.runner_process import ROOT, Client, Hold, Runner, leave_no_descriptor, refused, shut_out
from tests.machine import LIKE_ANYONE

pytestmark = pytest.mark.live

SERVERS = ("waitress", "wsgiref")


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


# Where it listens


def test_listeners_of_all_kinds_are_served_by_each_worker(server: str) -> None:
    name = f"@runner-{os.getpid()}-{server}"
    with Runner(server, bind=["127.0.0.1:0", "[::1]:0", "unix:DIR/socket", f"unix:{name}"]) as runner:
        assert len(runner.addresses) == 4
        for address in runner.addresses:
            with Client(address) as client:
                assert client.ask("/hello").body == b"hello"
        assert runner.stop() == 0
        assert all(refused(address) for address in runner.addresses)


def test_unix_socket_has_the_mode_that_is_asked_for_and_is_removed_at_the_end(server: str) -> None:
    with Runner(server, "--socket-mode", "0620", bind=["unix:DIR/socket"]) as runner:
        path = runner.directory / "socket"
        assert stat.S_IMODE(path.stat().st_mode) == 0o620
        assert runner.stop() == 0
        assert not path.exists()


def test_socket_of_a_successor_is_left_alone(server: str) -> None:
    with Runner(server, bind=["unix:DIR/socket"]) as runner:
        path = runner.directory / "socket"
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
            assert runner.stop() == 0
            assert path.exists()


def test_inherited_sockets_are_served_and_given_up(server: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        flags = ["--fd", str(tcp.fileno()), "--fd", str(unix.fileno())]
        missing = str(tmp_path / "missing")
        environ = {"LAUNCHER_UNLINK": os.pathsep.join([str(path), missing])}
        with Runner(server, *flags, bind=[], pass_fds=[tcp.fileno(), unix.fileno()], environ=environ) as runner:
            tcp.close()
            unix.close()
            for address in runner.addresses:
                with Client(address) as client:
                    assert client.ask("/process").json()["unlink"] is None
            hold = Hold(runner.directory)
            with runner.client() as client:
                client.get(hold.target)
                hold.wait_until_held()
                runner.tell(signal.SIGTERM)
                wait_for(lambda: all(map(refused, runner.addresses)), "closed listeners")
                hold.release()
                assert client.answer().body == b"held"
            assert runner.wait() == 0
            assert not path.exists()


def test_inherited_socket_file_is_kept_without_the_callers_word(server: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        with Runner(server, "--fd", str(unix.fileno()), bind=[], pass_fds=[unix.fileno()]) as runner:
            assert runner.ask("/hello").body == b"hello"
            assert runner.stop() == 0
            assert path.exists()


def test_address_in_use_is_told_with_its_own_status(server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with Runner(server, bind=["unix:DIR/socket", address], ready=False) as runner:
            assert runner.wait() == 7
            assert address in runner.text
            assert not (runner.directory / "socket").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "either --bind or --fd"),
        (("--bind", "127.0.0.1:0", "--fd", "3"), "either --bind or --fd"),
        (("--bind", "127.0.0.1"), "is not host:port"),
        (("--bind", "127.0.0.1:0", "--user", "no-such-user"), "no user 'no-such-user'"),
        (("--bind", "127.0.0.1:0", "--threads", "0"), "from 1 on"),
        (("--bind", "127.0.0.1:0", "--client-timeout", "0"), "cut off everybody"),
        (("--bind", "127.0.0.1:0", "--keepalive", "nan"), "not a number of seconds"),
        (("--bind", "127.0.0.1:0", "--socket-mode", "abc"), "not an octal mode"),
        (("--bind", "127.0.0.1:0", "--socket-owner", "no-such-user"), "no owner"),
        (("--bind", "127.0.0.1:0", "--back", "3"), "unrecognized"),
    ],
)
def test_flags_that_make_no_sense_are_usage_errors(server: str, flags: tuple[str, ...], words: str) -> None:
    with Runner(server, *flags, bind=[], ready=False) as runner:
        assert runner.wait() == 2
        assert words in runner.text


# How it starts


def test_ready_is_told_when_requests_are_answered_and_stopping_when_it_stops(server: str) -> None:
    with Runner(server) as runner:
        assert runner.ask("/hello").status == 200
        runner.tell(signal.SIGTERM)
        assert runner.wait() == 0
        runner.wait_for_notice("STOPPING=1")


def test_unreachable_notify_socket_is_a_warning_only(server: str) -> None:
    with Runner(server, environ={"NOTIFY_SOCKET": "/nonexistent/notify"}, ready=False) as runner:
        runner.addresses = [runner.wait_for_line("serving .* on (.*)")[1]]
        assert runner.ask("/hello").status == 200
        runner.wait_for_line(".* cannot send READY=1 .*")
        assert runner.stop() == 0


@pytest.mark.parametrize(
    ("doing", "status", "words"),
    [
        ("exit", 23, ""),
        ("exit with words", 4, "no, thank you"),
        ("error", 4, "LookupError: broken code"),
    ],
)
def test_import_that_fails_leaves_a_status_and_no_files(server: str, doing: str, status: int, words: str) -> None:
    with Runner(
        server,
        "--pid-file",
        "DIR/pid",
        bind=["unix:DIR/socket"],
        app="tests.apps.imports:app",
        environ={"TEST_IMPORT": doing},
        ready=False,
    ) as runner:
        assert runner.wait() == status
        assert words in runner.text
        assert sorted(path.name for path in runner.directory.iterdir()) == ["notify", "output"]


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("tests.apps.imports:nothing", "is no WSGI application"),
        ("tests.apps.imports:missing", "has no attribute 'missing'"),
        ("tests.apps.no_such_module:app", "No module named"),
        ("tests.apps.imports", "not of the form"),
    ],
)
def test_application_that_is_none_is_refused(server: str, app: str, words: str) -> None:
    with Runner(server, app=app, ready=False) as runner:
        assert runner.wait() == 4
        assert words in runner.text


def starting(server: str, doing: str, hold: Hold) -> Runner:
    return Runner(
        server,
        "--pid-file",
        "DIR/pid",
        bind=["unix:DIR/socket"],
        app="tests.apps.imports:app",
        environ={"TEST_IMPORT": doing, "TEST_FIFO": str(hold.path)},
        ready=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_during_the_import_ends_the_start(server: str, number: int, tmp_path: Path) -> None:
    hold = Hold(tmp_path)
    with starting(server, "slow", hold) as runner:
        hold.wait_until_held()
        assert (runner.directory / "pid").exists()
        runner.tell(number)
        assert runner.wait() == 0
        assert sorted(path.name for path in runner.directory.iterdir()) == ["notify", "output"]


def test_import_that_swallows_the_stop_is_stopped_after_it(server: str, tmp_path: Path) -> None:
    hold = Hold(tmp_path)
    with starting(server, "stubborn", hold) as runner:
        hold.wait_until_held()
        runner.tell(signal.SIGTERM)
        hold.release()
        assert runner.wait() == 0
        assert "READY=1" not in runner.notices


def test_second_signal_ends_an_import_that_swallowed_the_first(server: str, tmp_path: Path) -> None:
    hold = Hold(tmp_path)
    with starting(server, "stubborn", hold) as runner:
        hold.wait_until_held()
        # One signal that is pending twice is one signal: two different ones arrive both.
        runner.tell(signal.SIGTERM)
        runner.tell(signal.SIGINT)
        assert runner.wait() == 0
        assert sorted(path.name for path in runner.directory.iterdir()) == ["notify", "output"]


def test_own_log_survives_the_applications_logging_configuration(server: str) -> None:
    with Runner(server, app="tests.apps.imports:app", environ={"TEST_IMPORT": "logging"}) as runner:
        assert runner.stop() == 0
        assert "stopping on SIGTERM" in runner.text


def test_log_goes_to_a_file(server: str) -> None:
    with Runner(server, "--log-file", "DIR/log", ready=False) as runner:
        runner.wait_for_notice("READY=1")
        log = runner.directory / "log"
        wait_for(lambda: "serving" in log.read_text(), "the log")
        assert runner.stop() == 0
        assert "stopping on SIGTERM" in log.read_text()
        assert "stopping" not in runner.text


def test_log_goes_to_standard_output() -> None:
    words = [sys.executable, "-P", "-m", "launcher.runners.wsgiref", "--log-file", "-", "--bind", "127.0.0.1:0"]
    child = subprocess.Popen(
        [*words, "tests.apps.answers:app"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout
        assert "serving" in child.stdout.readline()
        child.terminate()
        assert "stopping" in child.stdout.readline()
    assert child.returncode == 0


def test_log_level_leaves_out_what_is_less_important(server: str) -> None:
    with Runner(server, "--log-level", "WARNING", ready=False) as runner:
        runner.wait_for_notice("READY=1")
        runner.tell(signal.SIGUSR1)
        runner.wait_for_line("ignoring SIGUSR1")
        assert runner.stop() == 0
        assert "serving" not in runner.text


def test_log_file_that_cannot_be_written_is_told(server: str) -> None:
    with Runner(server, "--log-file", "DIR/missing/log", ready=False) as runner:
        assert runner.wait() == 5
        assert "cannot write the log file" in runner.text


# Its files and rights


def test_pid_file_holds_the_pid_and_is_removed_at_the_end(server: str) -> None:
    with Runner(server, "--pid-file", "DIR/pid") as runner:
        path = runner.directory / "pid"
        assert int(path.read_text()) == runner.process.pid
        assert runner.stop() == 0
        assert not path.exists()


def test_pid_file_of_a_successor_is_left_alone(server: str) -> None:
    with Runner(server, "--pid-file", "DIR/pid") as runner:
        path = runner.directory / "pid"
        path.write_text("1\n")
        assert runner.stop() == 0
        assert path.read_text() == "1\n"


def test_pid_file_that_cannot_be_written_is_told(server: str) -> None:
    with Runner(server, "--pid-file", "DIR/missing/pid", bind=["unix:DIR/socket"], ready=False) as runner:
        assert runner.wait() == 5
        assert "cannot write the pid file" in runner.text
        assert not (runner.directory / "socket").exists()


def test_process_title(server: str) -> None:
    pytest.importorskip("setproctitle")
    with Runner(server, "--process-name", "a name of its own") as runner:
        title = Path(f"/proc/{runner.process.pid}/cmdline").read_bytes().rstrip(b"\0")
        assert title == b"a name of its own"
        assert runner.stop() == 0


def python_for_everybody() -> tuple[str, str]:
    """Return a Python, and a PYTHONPATH, that a user without rights can import from."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    assert waitress.__file__
    path = os.pathsep.join([str(ROOT), str(Path(waitress.__file__).parents[1])])
    for python in (sys.executable, "/usr/bin/python3"):
        probe = [python, "-P", "-c", "import launcher.runners.process, waitress.server, wsgiref.validate"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            environ = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
            done = subprocess.run(probe, user=65534, group=65534, extra_groups=[], env=environ, check=False)
            if done.returncode == 0:
                return python, path
    pytest.skip("no Python here can be used by nobody")


@pytest.mark.parametrize("named", [True, False])
def test_rights_are_dropped_after_the_sockets_are_open(server: str, named: bool) -> None:
    python, path = python_for_everybody()
    account = pwd.getpwnam("www-data")
    user = account.pw_name if named else str(account.pw_uid)
    with Runner(
        server,
        *("--user", user, "--pid-file", "DIR/pid", "--socket-owner", f"{user}:{user}", "--socket-mode", "0600"),
        bind=["127.0.0.1:0", "unix:DIR/socket"],
        python=[python],
        environ={"PYTHONPATH": path},
    ) as runner:
        facts = runner.ask("/process").json()
        assert facts["uids"] == [account.pw_uid] * 3
        assert facts["gids"] == [account.pw_gid] * 3
        assert facts["groups"] == sorted(os.getgrouplist(account.pw_name, account.pw_gid))
        assert facts["home"] == account.pw_dir
        found = (runner.directory / "socket").stat()
        assert (found.st_uid, found.st_gid) == (account.pw_uid, account.pw_gid)
        assert runner.stop() == 0
        # Though the directory is root's.
        assert not (runner.directory / "pid").exists()
        assert not (runner.directory / "socket").exists()


def test_user_that_the_process_is_already_needs_no_root(server: str) -> None:
    with Runner(server, "--user", str(os.geteuid()), "--group", str(os.getegid())) as runner:
        assert runner.ask("/process").json()["uids"] == [os.geteuid()] * 3
        assert runner.stop() == 0


# How it stops


def test_term_finishes_what_is_in_flight_and_refuses_the_rest(server: str) -> None:
    with Runner(server) as runner, runner.client() as client, runner.client() as late:
        hold, later = Hold(runner.directory), Hold(runner.directory)
        client.get(hold.target)
        hold.wait_until_held()
        late.get(f"/hold_late?{later.path}")
        later.wait_until_held()
        runner.tell(signal.SIGTERM)
        wait_for(lambda: refused(runner.address), "a closed listener")
        hold.release()
        later.release()
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"held")
        assert answer.headers["connection"] == "close"
        assert late.answer().body == b"begun ended"
        assert runner.wait() == 0
        assert client.rest() == b""


def test_term_finishes_requests_that_wait_for_a_thread(server: str) -> None:
    with Runner(server, "--threads", "1") as runner, contextlib.ExitStack() as stack:
        hold = Hold(runner.directory)
        first = stack.enter_context(runner.client())
        first.get(hold.target)
        hold.wait_until_held()
        queued = [stack.enter_context(runner.client()) for _ in range(5)]
        for client in queued:
            client.get("/hello")
        runner.tell(signal.SIGTERM)
        wait_for(lambda: refused(runner.address), "a closed listener")
        hold.release()
        assert first.answer().body == b"held"
        assert [client.answer().body for client in queued] == [b"hello"] * 5
        assert runner.wait() == 0


def test_term_answers_connections_that_were_accepted(server: str) -> None:
    with Runner(server) as runner, runner.client() as silent, runner.client() as partial:
        partial.send("GET /hello HTTP/1.1\r\n")
        runner.tell(signal.SIGTERM)
        wait_for(lambda: refused(runner.address), "a closed listener")
        assert silent.ask("/hello").body == b"hello"
        partial.send("Host: test\r\n\r\n")
        assert partial.answer().body == b"hello"
        assert runner.wait() == 0


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:DIR/socket"])
def test_term_answers_what_the_kernel_has_accepted_and_nobody_is_let_in_after_that(bind: str, server: str) -> None:
    """A stopped process stands for one that is too busy to accept. Whom the kernel let in later it would reset."""
    with Runner(server, bind=[bind], python=(*LIKE_ANYONE, sys.executable)) as runner, contextlib.ExitStack() as stack:
        worker = runner.ask("/process").json()["pid"]
        status = Path(f"/proc/{worker}/status")
        os.kill(worker, signal.SIGSTOP)
        wait_for(lambda: "State:\tT" in status.read_text(), "a worker that stands still")
        clients = [stack.enter_context(runner.client()) for _ in range(20)]
        for client in clients:
            client.get("/hello")
        runner.tell(signal.SIGTERM)
        told = f"ShdPnd:\t{1 << signal.SIGTERM - 1:016x}"
        wait_for(lambda: told in status.read_text(), "a worker that is told")
        assert shut_out(runner.address)
        os.kill(worker, signal.SIGCONT)
        assert [client.answer().body for client in clients] == [b"hello"] * 20
        assert runner.wait() == 0


def test_term_answers_all_that_a_client_sent_at_once(server: str) -> None:
    with Runner(server) as runner, runner.client() as client:
        hold = Hold(runner.directory)
        client.get(hold.target)
        client.get("/hello")
        client.get("/environ")
        hold.wait_until_held()
        runner.tell(signal.SIGTERM)
        wait_for(lambda: refused(runner.address), "a closed listener")
        hold.release()
        assert client.answer().body == b"held"
        if server == "waitress":  # which has read them already
            assert client.answer().body == b"hello"
            assert client.answer().headers["connection"] == "close"
        assert runner.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_connections_do_not_delay_a_stop(server: str, number: int) -> None:
    with Runner(server, "--keepalive", "600") as runner, runner.client() as client:
        assert client.ask("/hello").body == b"hello"
        since = runner.tell(number)
        assert client.closed_after(since) < 5
        assert runner.wait() == 0
        assert time.monotonic() - since < 5


def test_silent_newcomer_delays_a_stop_for_seconds_only(server: str) -> None:
    with Runner(server, "--client-timeout", "600", "--graceful-timeout", "600") as runner:
        with runner.client() as client:
            assert client.ask("/hello").body == b"hello"
            with runner.client() as silent:
                since = runner.tell(signal.SIGTERM)
                assert silent.closed_after(since) < 20
        assert runner.wait() == 0


def test_graceful_timeout_cuts_off_what_does_not_end(server: str) -> None:
    with Runner(server, "--graceful-timeout", "0.5", "--pid-file", "DIR/pid") as runner, runner.client() as client:
        hold = Hold(runner.directory)
        client.get(hold.target)
        hold.wait_until_held()
        since = runner.tell(signal.SIGTERM)
        assert runner.wait() == 0
        assert 0.5 <= time.monotonic() - since < 10
        assert client.rest() == b""
        assert "1 connections are cut off" in runner.text
        assert not (runner.directory / "pid").exists()


def test_int_waits_for_a_second_and_no_longer(server: str) -> None:
    with Runner(server, "--graceful-timeout", "600") as runner, runner.client() as client:
        hold = Hold(runner.directory)
        client.get(hold.target)
        hold.wait_until_held()
        since = runner.tell(signal.SIGINT)
        assert runner.wait() == 0
        assert 1 <= time.monotonic() - since < 10


def test_int_finishes_what_is_quick(server: str) -> None:
    with Runner(server) as runner, runner.client() as client:
        hold = Hold(runner.directory)
        client.get(hold.target)
        hold.wait_until_held()
        runner.tell(signal.SIGINT)
        hold.release()
        assert client.answer().body == b"held"
        assert runner.wait() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_at_once(server: str, second: int) -> None:
    flags = ("--graceful-timeout", "600", "--pid-file", "DIR/pid")
    with Runner(server, *flags, bind=["unix:DIR/socket"]) as runner, runner.client() as client:
        hold = Hold(runner.directory)
        client.get(hold.target)
        hold.wait_until_held()
        runner.tell(signal.SIGTERM)
        runner.wait_for_line("stopping on SIGTERM")
        since = runner.tell(second)
        assert runner.wait() == 0
        assert time.monotonic() - since < 5
        assert not (runner.directory / "pid").exists()
        assert not (runner.directory / "socket").exists()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_signals_of_other_servers_are_ignored_with_a_line(server: str, number: signal.Signals) -> None:
    with Runner(server) as runner:
        runner.tell(number)
        runner.wait_for_line(f"ignoring {number.name}")
        assert runner.ask("/hello").body == b"hello"
        assert runner.stop() == 0
        assert runner.text.count("ignoring") == 1


def test_thread_of_the_application_does_not_keep_the_process(server: str) -> None:
    with Runner(server, "--graceful-timeout", "0.5") as runner:
        assert runner.ask("/thread").body == b"left one"
        since = runner.tell(signal.SIGTERM)
        assert runner.wait() == 0
        assert time.monotonic() - since < 10


# How long it waits


def test_silent_newcomer_is_cut_off_after_client_timeout(server: str) -> None:
    with Runner(server, "--client-timeout", "0.6", "--keepalive", "600") as runner:
        since = time.monotonic()
        with runner.client() as client:
            assert 0.6 <= client.closed_after(since) < 5
        assert runner.stop() == 0


@pytest.mark.parametrize(
    "begun",
    [
        "GET /hello HTTP/1.1\r\nHost: te",
        "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf",
        "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
    ],
)
def test_client_that_stops_halfway_is_cut_off_after_client_timeout(server: str, begun: str) -> None:
    with Runner(server, "--client-timeout", "0.6", "--keepalive", "600") as runner:
        since = time.monotonic()
        with runner.client() as client:
            client.send(begun)
            end = client.rest()
            assert 0.6 <= time.monotonic() - since < 10
            assert not end or end.startswith(b"HTTP/1.1 408 ")
        assert "Traceback" not in runner.text
        assert runner.stop() == 0


def test_idle_connection_is_closed_after_keepalive(server: str) -> None:
    with Runner(server, "--client-timeout", "600", "--keepalive", "0.6") as runner, runner.client() as client:
        since = time.monotonic()
        assert client.ask("/hello").body == b"hello"
        assert 0.6 <= client.closed_after(since) < 5
        assert runner.stop() == 0


def test_request_that_comes_when_its_time_is_up_is_answered(server: str) -> None:
    with Runner(server, "--keepalive", "2", app="tests.apps.pausing:app") as runner, runner.client() as client:
        assert client.ask("/hello").body == b"hello"
        up = time.monotonic() + 2.1
        (runner.directory / "pause").touch()
        paused = runner.directory / "paused"
        wait_for(paused.exists, "a loop that has looked")
        wait_for(lambda: time.monotonic() > up, "the end of the time")
        client.get("/hello")
        paused.unlink()
        assert client.answer().body == b"hello"
        assert runner.stop() == 0


def test_idle_connection_outlives_client_timeout(server: str) -> None:
    with Runner(server, "--client-timeout", "0.4", "--keepalive", "600") as runner, runner.client() as client:
        assert client.ask("/hello").body == b"hello"
        with runner.client() as silent:
            assert silent.rest() == b""  # a client_timeout has passed
        assert client.ask("/hello").body == b"hello"
        assert runner.stop() == 0


def test_keepalive_of_nothing_closes_after_each_answer(server: str) -> None:
    with Runner(server, "--keepalive", "0") as runner, runner.client() as client:
        answer = client.ask("/hello")
        assert (answer.body, answer.headers["connection"]) == (b"hello", "close")
        assert client.rest() == b""
        with runner.client() as old:
            answer = old.ask("/hello", "Connection: keep-alive", version="1.0")
            assert answer.headers["connection"].lower() == "close"
        assert runner.stop() == 0


def test_slow_application_is_no_silent_client(server: str) -> None:
    with Runner(server, "--client-timeout", "0.3", "--keepalive", "0.3") as runner, runner.client() as client:
        hold = Hold(runner.directory)
        client.get(f"/hold_late?{hold.path}")
        hold.wait_until_held()
        with runner.client() as silent:
            assert silent.rest() == b""
        hold.release()
        assert client.answer().body == b"begun ended"
        assert runner.stop() == 0


def test_client_that_does_not_read_is_cut_off_after_client_timeout(server: str) -> None:
    with Runner(server, "--client-timeout", "0.6", "--threads", "1") as runner, runner.client() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        since = time.monotonic()
        client.get("/endless")
        runner.wait_for_line("closed")
        assert time.monotonic() - since >= 0.6
        assert runner.ask("/hello").body == b"hello"
        assert runner.stop() == 0


def test_many_silent_clients_cost_no_thread(server: str) -> None:
    with Runner(server, "--threads", "1", "--client-timeout", "600") as runner, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(runner.client())
        idle = stack.enter_context(runner.client())
        assert idle.ask("/hello").body == b"hello"
        assert runner.ask("/hello").body == b"hello"
        assert runner.stop() == 0


# How much it takes


def test_header_size_is_exact(server: str) -> None:
    head = "GET /hello HTTP/1.1\r\nHost: test\r\nX-Fill: {}\r\n\r\n"
    room = 2000 - len(head) + 2
    with Runner(server, "--max-header-size", "2000") as runner:
        with runner.client() as client:
            client.send(head.format("x" * room))
            assert client.answer().status == 200
        with runner.client() as client:
            client.send(head.format("x" * (room + 1)))
            assert client.answer().status == 431
            assert client.rest() == b""
        assert runner.stop() == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_body_that_is_too_long_is_refused(server: str, chunked: bool) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: {0}"
    # waitress 3.0.2 counts what goes between the chunks too.
    most = 1000 - 12 if chunked and server == "waitress" else 1000
    # It is refused where it is logged.
    with Runner(server, "--max-body-size", "1000", app="tests.apps.answers:limited") as runner:
        for size, status in ((most, 200), (most + 1, 413)):
            with runner.client() as client:
                body = f"{size:x}\r\n{'x' * size}\r\n0\r\n\r\n" if chunked else "x" * size
                client.send(f"POST /echo HTTP/1.1\r\nHost: test\r\n{framing.format(size)}\r\n\r\n{body}")
                answer = client.answer()
                assert answer.status == status
                if status == 200:
                    assert answer.body == b"x" * size
                else:
                    assert answer.headers["connection"] == "close"
                    assert client.rest() == b""
        assert runner.stop() == 0


def test_threads_bound_what_runs_at_once(server: str) -> None:
    with Runner(server, "--threads", "2") as runner, contextlib.ExitStack() as stack:
        holds = [Hold(runner.directory) for _ in range(3)]
        clients = [stack.enter_context(runner.client()) for _ in holds]
        for client, hold in zip(clients[:2], holds[:2], strict=True):
            client.get(hold.target)
            hold.wait_until_held()
        clients[2].get(holds[2].target)
        released = time.monotonic()
        holds[0].release()
        assert clients[0].answer().body == b"held"
        holds[2].wait_until_held()
        holds[1].release()
        holds[2].release()
        assert clients[1].answer().body == b"held"
        assert float(clients[2].answer().headers["x-begun"]) > released
        assert runner.stop() == 0


def test_listeners_share_the_threads(server: str) -> None:
    with Runner(server, "--threads", "1", bind=["127.0.0.1:0", "unix:DIR/socket"]) as runner:
        hold, other = Hold(runner.directory), Hold(runner.directory)
        with Client(runner.addresses[0]) as first, Client(runner.addresses[1]) as second:
            first.get(hold.target)
            hold.wait_until_held()
            second.get(other.target)
            released = time.monotonic()
            hold.release()
            assert first.answer().body == b"held"
            other.wait_until_held()
            other.release()
            assert float(second.answer().headers["x-begun"]) > released
        assert runner.stop() == 0


def test_threads_do_not_leak(server: str) -> None:
    with Runner(server, "--threads", "1") as runner:
        before = runner.ask("/process").json()["threads"]
        for path in ("/hello", "/fail", "/stream", "/fail_late", "/close_fails"):
            for _ in range(10):
                with runner.client() as client:
                    client.get(path, "Connection: close")
                    client.rest()
        assert runner.ask("/process").json()["threads"] == before
        assert runner.stop() == 0


def test_worker_without_a_descriptor_left_serves_whom_it_has(server: str) -> None:
    with Runner(server, "--keepalive", "60", "--max-worker-memory", str(10**12)) as runner, runner.client() as client:
        pid = client.ask("/process").json()["pid"]
        leave_no_descriptor(pid)
        with runner.client() as late:
            late.get("/process")
            since = time.monotonic()
            wait_for(lambda: runner.text.count("cannot accept: ") >= 3, "three tries")
            assert time.monotonic() - since > 0.9, "it tries all the time"
            assert client.ask("/process").json()["pid"] == pid
            client.close()
            assert late.answer().json()["pid"] == pid
        assert runner.stop() == 0


def test_client_hears_of_the_end_though_a_child_holds_its_connection(server: str) -> None:
    with Runner(server) as runner, runner.client() as client:
        hold = Hold(runner.directory)
        client.get(f"/fork?{hold.path}", version="1.0")
        hold.wait_until_held()
        assert client.rest().endswith(b"forked")
        hold.release()
        assert runner.stop() == 0


CONFINED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))
os.execv(sys.argv[1], sys.argv[1:])
"""

CROWD = """
import sys, threading

for _ in range(100):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["in-workers", "preload"])
def test_no_room_for_processes_is_waited_out(server: str, flags: list[str]) -> None:
    python, path = python_for_everybody()
    environ = {"PYTHONPATH": path}
    words = (python, "-c", CONFINED, python)
    with Runner(server, *flags, "--user", "www-data", "--workers", "2", python=words, environ=environ) as runner:
        seen: set[int] = set()

        def both_answered() -> bool:
            seen.add(runner.ask("/process").json()["pid"])
            return len(seen) == 2

        wait_for(both_answered, "both workers")
        first = seen.pop()
        crowd = subprocess.Popen(
            [python, "-c", CROWD], user="www-data", stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
        )
        with crowd:
            assert crowd.stdout
            crowd.stdout.readline()
            os.kill(first, signal.SIGKILL)
            runner.wait_for_line("another is started in .*")
            runner.tell(signal.SIGHUP)
            runner.wait_for_line("reload refused, .*")
            crowd.kill()
        runner.tell(signal.SIGHUP)
        runner.wait_for_line("reloaded: generation 2")
        assert runner.ask("/process").json()["pid"] != first
        assert runner.stop() == 0
