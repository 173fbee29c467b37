"""launcher.middleware.short_log: lines for a person who develops."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from launcher.middleware.short_log import in_bytes, in_seconds, log_briefly
from tests.exchange import call, hello, make_environ

LINE = re.compile(r"\d\d:\d\d:\d\d (.*) \d+(?:\.\d)? m?s\n")


def lines(path: Path, status: str = "200 OK", quiet: str = "", **changes: Any) -> list[str]:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response(status, [("Content-Type", "text/plain")])
        return [b"hello"]

    call(log_briefly(app, str(path), quiet), make_environ(**changes))
    with path.open(newline="\n") as file:
        return [found[1] if (found := LINE.fullmatch(line)) else line for line in file]


def test_a_line_says_request_status_and_size(tmp_path: Path) -> None:
    assert lines(tmp_path / "log", RAW_URI="/polls/?page=2") == ["GET /polls/?page=2 200 5 B"]


def test_an_answer_to_head_has_no_size(tmp_path: Path) -> None:
    assert lines(tmp_path / "log", REQUEST_METHOD="HEAD") == ["HEAD / 200"]


def test_a_failure_before_the_start_is_a_500(tmp_path: Path) -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        raise RuntimeError

    call(log_briefly(app, str(tmp_path / "log"), ""))
    assert " GET / 500 " in (tmp_path / "log").read_text()


@pytest.mark.parametrize("status", ["200 OK", "206 Partial Content", "304 Not Modified"])
def test_static_files_are_not_told(tmp_path: Path, status: str) -> None:
    assert lines(tmp_path / "log", status, "/static/", RAW_URI="/static/a.css?v=1") == []


@pytest.mark.parametrize("status", ["301 Moved Permanently", "404 Not Found", "500 Internal Server Error"])
def test_static_files_that_are_not_given_out_are_told(tmp_path: Path, status: str) -> None:
    (line,) = lines(tmp_path / "log", status, "/static/", RAW_URI="/static/a.css")
    assert line == f"GET /static/a.css {status[:3]} 5 B"


@pytest.mark.parametrize("uri", ["/", "/statics", "/a/static/b", "/?/static/"])
def test_what_only_looks_like_a_static_file_is_told(tmp_path: Path, uri: str) -> None:
    assert lines(tmp_path / "log", "200 OK", "/static/", RAW_URI=uri) == [f"GET {uri} 200 5 B"]


def test_a_path_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    assert lines(tmp_path / "log", RAW_URI="/\x1b[2J\n") == [r"GET /\x1b[2J\x0a 200 5 B"]


@pytest.mark.parametrize(
    ("status", "colour"), [("200", ""), ("302", "\x1b[36m"), ("404", "\x1b[33m"), ("500", "\x1b[31m")]
)
@pytest.mark.parametrize("no_colour", ["", "1"])
def test_a_terminal_shows_the_status_by_colour(
    monkeypatch: pytest.MonkeyPatch, status: str, colour: str, no_colour: str
) -> None:
    monkeypatch.setenv("NO_COLOR", no_colour)
    ours, theirs = os.openpty()

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response(f"{status} Whatever", [])
        return [b"hello"]

    call(log_briefly(app, os.ttyname(theirs), ""))
    said = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert said.startswith("\x1b") == bool(colour and not no_colour)
    if colour and not no_colour:
        assert said.startswith(colour)
        assert said.endswith("\x1b[0m\r\n")


def test_nothing_is_coloured_in_a_file(tmp_path: Path) -> None:
    call(log_briefly(hello, str(tmp_path / "log"), ""))
    assert "\x1b" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5123, "5.1 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB")],
)
def test_sizes_have_a_few_figures(size: int, words: str) -> None:
    assert in_bytes(size) == words


@pytest.mark.parametrize(
    ("took_us", "words"),
    [(40, "0.0 ms"), (9_949, "9.9 ms"), (9_950, "10 ms"), (12_345, "12 ms"), (999_499, "999 ms"), (999_500, "1.0 s")],
)
def test_durations_have_a_few_figures(took_us: int, words: str) -> None:
    assert in_seconds(took_us) == words
