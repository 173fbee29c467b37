from types import SimpleNamespace
from typing import Any, cast

import pytest
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]  # waitress 3.0.2 ships no types

from launcher.backends.waitress import BACKEND
from launcher.options import OPTIONS
from launcher.runners import arguments
from launcher.runners.arguments import WaitressOptions
from launcher.runners.waitress_channel import Channel, Limits
from launcher.runners.waitress_server import OURS, WITHOUT_EFFECT, settings


def channel(**state: Any) -> Channel:
    """Return a connection in a state, last heard of at 100."""
    defaults = {"last_activity": 100.0, "requests": [], "request": None, "total_outbufs_len": 0, "answered": False}
    made = SimpleNamespace(**{**defaults, **state}, _watched=None, _watched_since=0.0)
    made.watched = lambda thing, now: Channel.watched(cast(Channel, made), thing, now)
    return cast(Channel, made)


HEAD = SimpleNamespace(headers_finished=False)
BODY = SimpleNamespace(headers_finished=True)

STATES = {
    "new": ({}, 10, 2),
    "idle": ({"answered": True}, 5, 0.2),
    "in the head": ({"request": HEAD}, 10, 10),
    "in the body": ({"request": BODY, "answered": True}, 10, 10),
    "at work": ({"requests": [1]}, None, None),
    "at work, with more to come": ({"requests": [1], "request": HEAD}, None, None),
}


@pytest.mark.parametrize(("state", "limit", "limit_when_draining"), STATES.values(), ids=STATES)
def test_patience(state: dict[str, Any], limit: float | None, limit_when_draining: float | None) -> None:
    limits = Limits(client_timeout=10, keepalive=5)
    for most in (limit, limit_when_draining):
        if most is None:
            assert not limits.overdue(channel(**state), 10_000)
        else:
            assert not limits.overdue(channel(**state), 99.9 + most)
            assert limits.overdue(channel(**state), 100.1 + most)
        limits.drain(0.2, 2)


def test_output_that_has_just_appeared_is_not_stalled() -> None:
    limits, client = Limits(10, 5), channel(requests=[1], total_outbufs_len=1)
    assert not limits.overdue(client, 500)
    assert not limits.overdue(client, 509)
    assert limits.overdue(client, 511)


def test_output_that_flows_is_not_stalled() -> None:
    limits, client = Limits(10, 5), channel(requests=[1], total_outbufs_len=1)
    for now in range(500, 600, 9):
        assert not limits.overdue(client, now)
        client.last_activity = now


def test_head_that_trickles_in_has_the_time_in_all() -> None:
    limits, client = Limits(10, 5), channel(request=HEAD)
    verdicts = []
    for now in range(100, 120):
        client.last_activity = now
        verdicts.append(limits.overdue(client, now))
    assert verdicts.index(True) == 11


def test_body_that_trickles_in_has_the_time_for_each_piece() -> None:
    limits, client = Limits(10, 5), channel(request=BODY)
    for now in range(100, 200):
        client.last_activity = now
        assert not limits.overdue(client, now)


def options(*argv: str) -> WaitressOptions:
    words = arguments.parser("waitress", threads=4)
    told = arguments.parse(words, ["--fd", "3", *argv, "m:a"], WaitressOptions())
    told.max_connections, told.native = None, []
    return told


def test_limits_are_the_most_that_is_let_through() -> None:
    found = settings(options("--max-header-size", "10", "--max-body-size", "20"), 1)
    assert (found["max_request_header_size"], found["max_request_body_size"]) == (11, 21)


def test_what_nobody_asked_for_is_left_to_waitress() -> None:
    assert set(settings(options(), 1)) == {"threads", "backlog", "sockets", "asyncore_use_poll"}


def test_settings_that_are_refused_exist() -> None:
    assert set(OURS) | set(WITHOUT_EFFECT) <= set(Adjustments._param_map)
    assert set(OURS) | set(WITHOUT_EFFECT) <= {*BACKEND.reserved, *OPTIONS}  # nobody waits for the start to hear of it
