"""How long things take."""

import os
import signal
import time

from ..client import Client
from ..hold import held
from ..kit import Check, Kit
from ..serving import Serving, same, wait_for

EARLY_S = 0.2
"""How much before its time something may end: clocks of servers are coarse."""
LATE_S = 10.0
"""How much after it; a loaded machine is slow."""
WATCHED_S = 0.5
"""How long a check watches that a request in flight stays in flight."""


def assert_about(elapsed_s: float, wanted_s: float) -> None:
    assert wanted_s - EARLY_S <= elapsed_s <= wanted_s + LATE_S, f"after {elapsed_s:.2f} s, not {wanted_s:g} s"


def slow_request_is_cut(kit: Kit) -> None:
    with kit.serve({"threads": 1, "workers": 1, "graceful_timeout": "1s"}) as serving, serving.client() as client:
        began = time.monotonic()
        client.get("/sleep?s=60")
        try:
            status = client.answer().status
        except ConnectionError:
            status = 0
        assert_about(time.monotonic() - began, 1.0)
        assert status in (0, 500, 503, 504), f"the slow request was answered {status}"
        serving.report("/sleep?s=0.3")


def silent_worker_is_replaced(kit: Kit) -> None:
    with kit.serve({"workers": 1, "threads": 2}) as serving:
        stopped = serving.report()["pid"]
        os.kill(stopped, signal.SIGSTOP)
        began = time.monotonic()
        with serving.client() as waiting:
            # Whoever accepts it: the connection of a frozen worker dies with it.
            waiting.get("/")
            wait_for(lambda: stopped not in serving.tree(), "the frozen worker to be killed")
            assert time.monotonic() - began >= 2.0 - 1.0 - EARLY_S, "killed before its time"
        assert serving.report()["pid"] != stopped, "the frozen worker answered"
        # A busy worker is not a silent one.
        serving.report("/sleep?s=3")


def request_in_flight_finishes(kit: Kit) -> None:
    with kit.serve({"workers": 1}) as serving:
        client, hold = held(serving, kit.public)
        with client:
            serving.signal(signal.SIGTERM)
            assert client.silent_for(WATCHED_S), "it was cut off"
            assert serving.process.poll() is None, "the server ended with a request in flight"
            hold.release()
            same(client.answer().status, 200, "status of the request in flight")
        same(serving.wait(), 0, "exit status")


def idle_server_ends_at_once(kit: Kit) -> None:
    """Also while a second worker still loads the application."""
    first = kit.public / "first"
    files = {
        "slow.py": (
            "import os\nimport time\n\nfrom launcher.testing.application import app\n\n"
            f"try:\n    os.close(os.open({str(first)!r}, os.O_CREAT | os.O_EXCL))\n"
            "except FileExistsError:\n    time.sleep(0.5)\n"
        )
    }
    with kit.serve({"workers": 2, "preload": False}, asks={**kit.asks, "app": "slow:app"}, files=files) as serving:
        told = serving.signal(signal.SIGTERM)
        same(serving.wait(), 0, "exit status")
        elapsed_s = time.monotonic() - told
        assert elapsed_s < LATE_S, f"with nothing in flight it took {elapsed_s:.1f} s to end"


def endless_request_is_cut(kit: Kit) -> None:
    with kit.serve({"workers": 1}) as serving:
        client, _ = held(serving, kit.public)
        with client:
            told = serving.signal(signal.SIGTERM)
            serving.wait()
            assert_about(time.monotonic() - told, 1.0)
            same(client.rest(), b"", "what is sent to a request that was cut")


def next_request_finds_the_connection_open(kit: Kit) -> None:
    with kit.serve({"client_timeout": "1s"}) as serving, serving.client() as client:
        for _ in range(3):
            answer = client.ask("/")
            assert answer.headers.get("connection", "").lower() != "close", "it says close"
        idle_since = time.monotonic()
        assert_about(client.closed_after(idle_since), 2.0)


def balancers_hear_of_a_stop_before_it_comes(kit: Kit) -> None:
    with kit.serve({"ready_path": "/-/ready"}) as serving:
        same(serving.request("/-/ready").status, 200, "status of the ready_path")
        began = time.monotonic()
        serving.signal(signal.SIGTERM)
        wait_for(lambda: serving.request("/-/ready").status == 503, "the ready_path to answer 503")
        same(serving.request("/").status, 200, "status of a request meanwhile")
        wait_for(lambda: serving.process.poll() is not None, "the server to end")
        assert_about(time.monotonic() - began, 3.0)
        same(serving.process.returncode, 0, "exit status")


def connection_is_closed_after_the_answer(kit: Kit) -> None:
    with kit.serve() as serving:
        for target in ("/", "/stream?pieces=3", "/large?bytes=100000"):
            with serving.client() as client:
                answer = client.ask(target)
                closes = answer.headers.get("connection", "").lower() == "close"
                assert closes, f"it does not say Connection: close: {answer.headers}"
                elapsed_s = client.closed_after(time.monotonic())
                assert elapsed_s < LATE_S, f"closed after {elapsed_s:.1f} s"


def stalled_client_is_cut(kit: Kit) -> None:
    halves = ("GET / HTTP/1.1\r\nHost: localhost\r\nX-Half", "POST /length HTTP/1.1\r\nContent-Length: 9\r\n\r\n1234")
    with kit.serve({"threads": 4, "workers": 1}) as serving:
        clients = [stalled(serving, half) for half in halves]
        began = time.monotonic()
        # The clock is the client's, not the application's.
        with serving.client() as slow:
            slow.get("/sleep?s=1.6", "Connection: close")
            for client in clients:
                with client:
                    ending = client.rest()
                    assert_about(time.monotonic() - began, 1.0)
                    assert not ending.startswith(b"HTTP/1.1 2"), f"half a request was answered {ending[:200]!r}"
            same(slow.answer().status, 200, "status of a slow answer")


def stalled(serving: Serving, half: str) -> Client:
    client = serving.client()
    client.send(half)
    return client


CHECKS = (
    Check("request-timeout", {"request_timeout": "1s"}, slow_request_is_cut, given={"threads": 1}, by_value=True),
    Check("worker-timeout", {"worker_timeout": "2s"}, silent_worker_is_replaced),
    Check("graceful-timeout", {"graceful_timeout": "20s"}, request_in_flight_finishes),
    Check("graceful-timeout-idle", {"graceful_timeout": "20s"}, idle_server_ends_at_once),
    Check("graceful-timeout-ends", {"graceful_timeout": "1s"}, endless_request_is_cut),
    Check("drain-delay", {"drain_delay": "3s"}, balancers_hear_of_a_stop_before_it_comes),
    Check("keepalive", {"keepalive": "2s"}, next_request_finds_the_connection_open, by_value=True),
    Check("keepalive-off", {"keepalive": "off"}, connection_is_closed_after_the_answer),
    Check("client-timeout", {"client_timeout": "1s"}, stalled_client_is_cut),
)
