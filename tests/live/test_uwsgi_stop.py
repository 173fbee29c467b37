"""SIGTERM on uWSGI: systemd hears of it at once in every mode, and no worker is needed to end the server."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from launcher.testing.hold import held
from launcher.testing.serving import wait_for

from .gunicorn_site import notify_socket
from .load import Load
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


def test_whom_the_kernel_has_accepted_is_answered_and_nobody_is_let_in_after_that(tmp_path: Path) -> None:
    with Site(tmp_path).serving(workers=1, threads=1) as serving:
        first, hold = held(serving, tmp_path)
        waiting = [serving.client() for _ in range(5)]
        for client in waiting:
            client.get("/")
        serving.signal(signal.SIGTERM)
        host, _, port = serving.address.rpartition(":")

        def closed() -> bool:
            with socket.socket() as late:
                late.settimeout(0.2)
                try:
                    return late.connect_ex((host, int(port))) != 0
                except TimeoutError:
                    return True

        wait_for(closed, "a door that is closed")
        hold.release()
        for client in (first, *waiting):
            assert client.answer().status == 200
            client.close()
        assert serving.wait() == 0


def test_a_stop_under_load_resets_nobody(tmp_path: Path) -> None:
    with Site(tmp_path).serving(workers=2, threads=2) as serving:
        with Load(serving.address, 8, "/sleep?s=0.01", keep=False, pause_s=0.001) as load:
            load.wait_for_more()
            serving.signal(signal.SIGTERM)
            assert serving.wait() == 0
        assert [failure for failure in load.failures if "ConnectionRefusedError" not in failure] == []
