"""launcher.develop.events: what a stream says, and when it ends."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from launcher.develop import events
from launcher.develop.channel import VARIABLE, Channel
from launcher.develop.events import Events, server_state, stopping
from tests.exchange import call, make_environ


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The state, as its last item, of streams that hurry."""
    monkeypatch.setattr(events, "POLL_S", 0.001)
    return ["one"]


def stream(told: Events, **changes: Any) -> Iterator[bytes]:
    answer = told.answer("/-serve/events", make_environ(**changes), lambda *_: lambda data: None)
    assert answer is not None
    return iter(answer)


def test_state_is_told_at_once_and_when_it_is_another(states: list[str]) -> None:
    pieces = stream(Events(lambda: states[-1], 1))
    assert next(pieces) == b"retry: 200\ndata: one\n\n"
    states.append("two")
    assert next(pieces) == b"retry: 200\ndata: two\n\n"


def test_breath_is_drawn_for_clients_that_have_gone(states: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BREATH_S", 0.01)
    pieces = stream(Events(lambda: states[-1], 1))
    assert [next(pieces) for _ in range(3)] == [b"retry: 200\ndata: one\n\n", b":\n\n", b":\n\n"]


def test_streams_beyond_the_limit_end_at_once(states: list[str]) -> None:
    told = Events(lambda: states[-1], 1)
    first = stream(told)
    next(first)
    assert list(stream(told)) == [b"retry: 1000\ndata: one\n\n"]
    first.close()  # type: ignore[attr-defined]  # a generator
    assert next(stream(told)) == b"retry: 200\ndata: one\n\n"


def test_where_there_is_no_thread_every_stream_ends_at_once(states: list[str]) -> None:
    assert list(stream(Events(lambda: states[-1], 0))) == [b"retry: 1000\ndata: one\n\n"]


def test_stream_that_nobody_began_to_read_takes_no_place(states: list[str]) -> None:
    told = Events(lambda: states[-1], 1)
    stream(told).close()  # type: ignore[attr-defined]  # a generator
    assert next(stream(told)).startswith(b"retry: 200")


def test_stream_ends_in_time(states: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LONGEST_S", 0.02)
    assert list(stream(Events(lambda: states[-1], 1))) == [b"retry: 200\ndata: one\n\n"]


def test_stream_ends_when_the_server_knows_that_the_client_has_gone(states: list[str]) -> None:
    gone: list[bool] = []
    pieces = stream(Events(lambda: states[-1], 1), **{"waitress.client_disconnected": lambda: bool(gone)})
    next(pieces)
    gone.append(True)
    assert list(pieces) == []


@pytest.mark.parametrize("name", ["stop", "alive"])
def test_stream_ends_when_the_worker_is_told_to_stop(states: list[str], name: str) -> None:
    class Worker:
        def __init__(self) -> None:
            setattr(self, name, name == "alive")

        def on_stop(self, number: int, frame: object) -> None:
            setattr(self, name, name != "alive")

    before = signal.signal(signal.SIGTERM, Worker().on_stop)
    try:
        pieces = stream(Events(lambda: states[-1], 1))
        next(pieces)
        assert not stopping()
        signal.raise_signal(signal.SIGTERM)
        assert list(pieces) == []
    finally:
        signal.signal(signal.SIGTERM, before)


class Other:
    def stop(self, *_: object) -> None:
        """Somebody else's way to stop."""


@pytest.mark.parametrize("handler", [signal.SIG_IGN, Other().stop], ids=["nobody", "somebody else"])
def test_whoever_handles_the_signal_otherwise_is_not_asked(handler: Any) -> None:
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, handler)
    try:
        assert not stopping()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_head_has_the_head_alone() -> None:
    told = Events(lambda: "now", 1)

    def app(environ: Any, start_response: Any) -> Any:
        return told.answer(environ["PATH_INFO"], environ, start_response)

    for path in ("/-serve/live.js", "/-serve/events"):
        answer = call(validator(app), make_environ(PATH_INFO=path, REQUEST_METHOD="HEAD"))
        assert (answer.status, answer.body, answer.header["Cache-Control"]) == ("200 OK", b"", "no-store")


class TestServerState:
    def test_is_the_same_for_all_workers_of_a_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(VARIABLE, raising=False)
        assert server_state() == server_state()
        assert server_state().startswith(f"{os.getppid()}-")

    def test_is_another_after_a_change(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, str(tmp_path))
        before = server_state()
        Channel(str(tmp_path)).changed(["/a.html"])
        after = server_state()
        assert before != after
        assert server_state() == after
