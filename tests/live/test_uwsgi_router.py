"""uWSGI that keeps connections: its router, and that a stop loses nothing of what the router has."""

import os
import re
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from launcher.testing.hold import held
from launcher.testing.serving import Serving, refused, wait_for

from .load import Load
from .uwsgi_site import Site, answer, ours, reload

pytestmark = pytest.mark.live

SIZE: dict[str, Any] = {"workers": 2, "threads": 8, "keepalive": "30s"}


def router(serving: Serving) -> int:
    """Return the process of the latest router."""
    return int(re.findall(r"spawned uWSGI http 1 \(pid: (\d+)\)", serving.output)[-1])


def test_a_stop_under_load_loses_nothing_and_the_next_instance_takes_over(tmp_path: Path) -> None:
    """The socket belongs to somebody else, as with systemd: whoever connects meanwhile waits in it."""
    site = Site(tmp_path)
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        fd, address = listener.fileno(), f"127.0.0.1:{listener.getsockname()[1]}"
        first = stack.enter_context(site.serving(pass_fds=[fd], bind=f"fd://{fd}", **SIZE))
        with Load(address, 6, "/sleep?s=0.02") as brief, Load(address, 4, "/sleep?s=0.7") as slow:
            brief.wait_for_more()
            first.stop_cleanly()
            stack.enter_context(site.serving(pass_fds=[fd], bind=f"fd://{fd}", **SIZE))
            brief.wait_for_more()
        assert brief.failures + slow.failures == []


def test_a_reload_under_load_fails_nobody(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(**SIZE) as serving:
        with Load(serving.address, 6, "/sleep?s=0.02") as brief, Load(serving.address, 2, "/sleep?s=0.5") as slow:
            for version in (2, 3):
                site.write(version)
                reload(serving)
                assert answer(serving)[0] == version
        assert brief.failures + slow.failures == []


def test_an_idle_client_may_ask_once_more_of_a_server_that_stops(tmp_path: Path) -> None:
    with Site(tmp_path).serving(**SIZE) as serving, serving.client() as client, serving.client() as other:
        assert client.ask("/").headers.get("connection") is None
        other.ask("/")
        busy, hold = held(serving, tmp_path)
        assert accepts(serving)
        serving.signal(signal.SIGTERM)
        wait_for(lambda: not accepts(serving), "the end of accepting")
        assert client.ask("/").headers["connection"] == "close"
        assert client.closed_after(time.monotonic()) < 10
        hold.release()
        assert busy.answer().status == 200
        busy.close()
        assert serving.wait() == 0


def accepts(serving: Serving) -> bool:
    """Return whether the router waits for connections: its epoll has the first socket that it was given. proc(5)."""
    return any("\ntfd:        3 " in text_of(file) for file in Path(f"/proc/{router(serving)}/fdinfo").iterdir())


def text_of(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""  # closed meanwhile


def test_a_request_that_outlasts_the_grace_is_cut(tmp_path: Path) -> None:
    with Site(tmp_path).serving(**SIZE, graceful_timeout=1) as serving:
        busy, _ = held(serving, tmp_path)
        began = time.monotonic()
        serving.stop_cleanly()
        assert time.monotonic() - began < 15
        busy.close()


def test_silent_clients_hold_no_thread(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(workers=1, threads=2, keepalive="5s", client_timeout=30) as serving, ExitStack() as stack:
        for number in range(100):
            client = stack.enter_context(serving.client())
            client.send("GET / HTTP/1.1\r\nHost: localh" if number % 2 else "G")
        for _ in range(20):
            assert answer(serving)[0] == 1


def test_a_router_that_is_killed_comes_back_and_stops_as_well(tmp_path: Path) -> None:
    with Site(tmp_path).serving(**SIZE) as serving:
        first = router(serving)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: router(serving) != first, "another router")
        assert answer(serving)[0] == 1
        busy, hold = held(serving, tmp_path)
        serving.signal(signal.SIGTERM)
        wait_for(lambda: not accepts(serving), "the end of accepting")
        hold.release()
        assert busy.answer().status == 200
        busy.close()
        assert serving.wait() == 0


def test_a_stop_of_the_whole_group_reaches_the_router_by_the_master(tmp_path: Path) -> None:
    with Site(tmp_path).serving(**SIZE) as serving:
        os.kill(router(serving), signal.SIGTERM)
        assert answer(serving)[0] == 1


@pytest.mark.parametrize("keepalive", ["30s", "off"])
def test_an_interrupt_ends_it_at_once(keepalive: str, tmp_path: Path) -> None:
    with Site(tmp_path).serving(**{**SIZE, "keepalive": keepalive}) as serving:
        busy, _ = held(serving, tmp_path)
        began = serving.signal(signal.SIGINT)
        assert serving.wait() == 0
        assert time.monotonic() - began < 15
        busy.close()


def test_a_second_stop_changes_nothing(tmp_path: Path) -> None:
    with Site(tmp_path).serving(**SIZE) as serving:
        busy, hold = held(serving, tmp_path)
        for _ in range(3):
            serving.signal(signal.SIGTERM)
        wait_for(lambda: not accepts(serving), "the end of accepting")
        serving.signal(signal.SIGTERM)
        hold.release()
        assert busy.answer().status == 200
        busy.close()
        assert serving.wait() == 0


def test_a_stop_while_the_application_loads_is_heeded(tmp_path: Path) -> None:
    site = Site(tmp_path, import_s=30)
    with site.serving(**SIZE, ready=False) as serving:
        wait_for(lambda: "spawned uWSGI http 1" in serving.output, "the router")
        began = time.monotonic()
        serving.signal(signal.SIGTERM)
        serving.wait()
        assert time.monotonic() - began < 15


@pytest.mark.parametrize("bind", [["127.0.0.1:0", "[::1]:0"], ["127.0.0.1:0", "unix:s.sock"]], ids=["IPv6", "unix"])
def test_addresses_of_several_kinds_are_refused(bind: list[str], tmp_path: Path) -> None:
    """The router of uWSGI 2.0.30 would take one client's address for another's."""
    profile = {"app": "launcher.testing.application:app", "server": "uwsgi", "bind": bind, "keepalive": "5s"}
    status, said = refused(tmp_path, profile)
    assert status == 5
    assert "uwsgi cannot honour keepalive = 5s: its router takes one client's address for another's" in said


def test_nobody_else_reaches_the_socket_between_router_and_workers(tmp_path: Path) -> None:
    """Workers believe what comes there of a client's address."""
    with Site(tmp_path).serving(**SIZE) as serving:
        (path,) = re.findall(r"inherited UNIX address (\S+) fd", serving.output)
        assert os.stat(path).st_mode & 0o777 == 0o600
    assert not os.path.exists(path)
    assert ours(serving)
