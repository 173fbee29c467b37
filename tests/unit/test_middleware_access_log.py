"""launcher.middleware.access_log: what a line says, and when it is written."""

import calendar
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

import pytest

from launcher.middleware.access_log import LogFile, escape, log_access
from tests.exchange import FileWrapper, call, hello, make_environ

LINE = re.compile(
    r"(?P<client>\S+) - (?P<user>\S+) "
    r"\[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<sent>\d+|-) '
    r'"(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)" (?P<us>\d+)\n'
)


class Log:
    """A log file, and the application that writes to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def around(self, app: WSGIApplication) -> WSGIApplication:
        return log_access(app, str(self.path))

    @property
    def lines(self) -> list[dict[str, str]]:
        with open(self.path, newline="\n") as file:
            matches = [LINE.fullmatch(line) for line in file]
        assert all(matches)
        return [match.groupdict() for match in matches if match]

    def line(self, app: WSGIApplication, **changes: Any) -> dict[str, str]:
        call(self.around(app), make_environ(**changes))
        (line,) = self.lines
        return line


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "access.log")


class TestFields:
    def test_combined_format_with_microseconds(self, log: Log) -> None:
        before = time.time()
        line = log.line(
            hello,
            RAW_URI="/a%20b?c=d",
            REQUEST_METHOD="POST",
            HTTP_REFERER="http://example.org/",
            HTTP_USER_AGENT="curl/8",
            REMOTE_USER="ann",
        )
        assert line["client"] == "192.0.2.1"
        assert line["user"] == "ann"
        assert line["request"] == "POST /a%20b?c=d HTTP/1.1"
        assert (line["status"], line["sent"]) == ("200", "5")
        assert (line["referer"], line["agent"]) == ("http://example.org/", "curl/8")
        assert 0 <= int(line["us"]) <= (time.time() - before + 1) * 1e6
        stamped = time.strptime(line["time"], "%d/%b/%Y:%H:%M:%S +0000")
        assert int(before) <= calendar.timegm(stamped) <= time.time()

    def test_absent_fields_are_dashes(self, log: Log) -> None:
        line = log.line(answering([], "204 No Content"))
        assert (line["user"], line["sent"], line["referer"], line["agent"]) == ("-", "-", "-", "-")

    @pytest.mark.parametrize("peer", ["", "localhost", "0.0.0.0", None])
    def test_unix_peer_is_a_dash_on_every_server(self, log: Log, peer: str | None) -> None:
        assert log.line(hello, REMOTE_ADDR=peer)["client"] == "-"

    @pytest.mark.parametrize(
        ("changes", "uri"),
        [
            ({"RAW_URI": "/raw"}, "/raw"),
            ({"REQUEST_URI": "/raw"}, "/raw"),
            ({"SCRIPT_NAME": "/s", "PATH_INFO": "/p \xe9"}, "/s/p%20%E9"),
            ({"PATH_INFO": "/p", "QUERY_STRING": "q=1"}, "/p?q=1"),
        ],
    )
    def test_uri_as_the_server_keeps_it_or_put_together(self, log: Log, changes: dict[str, str], uri: str) -> None:
        assert log.line(hello, **changes)["request"] == f"GET {uri} HTTP/1.1"

    def test_request_is_told_as_it_came_and_the_user_as_it_was_found(self, log: Log) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            environ.update(PATH_INFO="/inner", REMOTE_ADDR="::1", REMOTE_USER="bob", HTTP_USER_AGENT="x")
            return hello(environ, start_response)

        line = log.line(app)
        assert (line["request"], line["client"], line["user"]) == ("GET / HTTP/1.1", "192.0.2.1", "bob")
        assert line["agent"] == "-"

    def test_head_has_no_bytes(self, log: Log) -> None:
        assert log.line(hello, REQUEST_METHOD="HEAD")["sent"] == "-"


class TestEscaping:
    @pytest.mark.parametrize(
        ("text", "escaped"),
        [
            ("plain", "plain"),
            ('a"b', r"a\"b"),
            ("a\\b", r"a\\b"),
            ('\\"', r"\\\""),
            ("a\nb\r\x00\x7f\x1b", r"a\x0ab\x0d\x00\x7f\x1b"),
            ("\x85\x9b\xe9", r"\x85\x9b\xe9"),
            ("\u2028\U0001f600", r"\u2028\U0001f600"),
        ],
    )
    def test_characters(self, text: str, escaped: str) -> None:
        assert escape(text, 100) == escaped

    def test_long_text_is_cut_between_escapes(self) -> None:
        assert escape("x" * 50, 10) == "xxxxxxx..."
        assert escape("\n" * 50, 10) == r"\x0a..."
        assert escape('x"' * 50, 10) == r"x\"x\"x..."

    def test_line_fits_a_pipe_whatever_the_client_sends(self, log: Log) -> None:
        junk = '"\\\n\u2028' * 5000
        call(
            log.around(hello),
            make_environ(
                RAW_URI=junk,
                REQUEST_METHOD=junk,
                REMOTE_USER=junk,
                REMOTE_ADDR=junk,
                HTTP_REFERER=junk,
                HTTP_USER_AGENT=junk,
            ),
        )
        (line,) = log.path.read_bytes().splitlines(keepends=True)
        assert len(line) <= 4096
        assert LINE.fullmatch(line.decode())

    def test_spaces_make_no_new_field(self, log: Log) -> None:
        assert log.line(hello, REMOTE_USER="a - [x]")["user"] == r"a\x20-\x20[x]"


class Closing:
    """A body that knows how often it was closed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = chunks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        self.closed += 1


def answering(body: Iterable[bytes], status: str = "200 OK", **headers: str) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
        start_response(status, [(name.replace("_", "-"), value) for name, value in headers.items()])
        return body

    return app


class TestWhenAndHowMuch:
    def test_line_is_written_after_the_body_was_closed(self, log: Log) -> None:
        lines: list[int] = []

        class Late(Closing):
            def close(self) -> None:
                lines.append(len(log.lines))

        assert log.line(answering(Late([b"ab", b"c"])))["sent"] == "3"
        assert lines == [0]

    def test_client_that_goes_away_is_logged_with_what_it_got(self, log: Log) -> None:
        body = Closing([b"ab", b"cd", b"ef"])
        call(log.around(answering(body)), read=1)
        assert body.closed == 1
        # The server had taken the second piece before it saw that nobody was there.
        assert [line["sent"] for line in log.lines] == ["4"]

    def test_closing_twice_is_closing_once(self, log: Log) -> None:
        body = Closing([b"ab"])
        result: Any = log.around(answering(body))(make_environ(), lambda *_: lambda _data: None)
        result.close()
        result.close()
        assert body.closed == 1
        assert len(log.lines) == 1

    def test_body_that_raises_is_closed_and_logged(self, log: Log) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"ab"
            raise RuntimeError("midway")

        body = Closing(chunks())
        answer = call(log.around(answering(body)))
        assert isinstance(answer.error, RuntimeError)
        assert body.closed == 1
        assert [(line["status"], line["sent"]) for line in log.lines] == [("200", "2")]

    def test_close_that_raises_is_logged(self, log: Log) -> None:
        class Bad(Closing):
            def close(self) -> None:
                raise RuntimeError("close")

        answer = call(log.around(answering(Bad([b"ab"]))))
        assert isinstance(answer.error, RuntimeError)
        assert len(log.lines) == 1

    def test_application_that_raises_is_a_500(self, log: Log) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            raise RuntimeError("early")

        answer = call(log.around(app))
        assert isinstance(answer.error, RuntimeError)
        assert [(line["status"], line["sent"]) for line in log.lines] == [("500", "-")]

    def test_status_replaced_with_exc_info_is_the_one_logged(self, log: Log) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            try:
                raise RuntimeError
            except RuntimeError:
                start_response("503 Sorry", [], sys.exc_info())
            return [b"x"]

        assert log.line(app)["status"] == "503"

    def test_written_bytes_are_counted(self, log: Log) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            write = start_response("200 OK", [])
            write(b"abc")
            return [b"de"]

        assert log.line(app)["sent"] == "5"

    def test_generator_function_that_starts_late_is_logged(self, log: Log) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> Iterator[bytes]:
            start_response("201 Created", [])
            yield b"abc"

        line = log.line(app)
        assert (line["status"], line["sent"]) == ("201", "3")

    @pytest.mark.parametrize("body", [[b"abc"], (b"abc",), [b"a", b"b"], []])
    def test_length_of_a_list_stays_known(self, log: Log, body: Any) -> None:
        result: Any = log.around(answering(body))(make_environ(), lambda *_: lambda _data: None)
        assert len(result) == len(body)
        assert list(result) == list(body)

    def test_iterator_gets_no_length(self, log: Log) -> None:
        result = log.around(answering(iter([b"abc"])))(make_environ(), lambda *_: lambda _data: None)
        assert not hasattr(result, "__len__")

    def test_validator_outside_and_inside_is_content(self, log: Log) -> None:
        answer = call(validator(log.around(validator(hello))))
        assert (answer.body, answer.error) == (b"hello", None)


class TestFiles:
    def test_wrapped_file_reaches_the_server_as_it_is(self, log: Log) -> None:
        file = BytesIO(b"file")
        wrapped = FileWrapper(file)
        answer = call(log.around(answering(wrapped, Content_Length="4")))
        assert answer.result is wrapped
        assert file.closed
        assert [line["sent"] for line in log.lines] == ["4"]

    def test_file_itself_reaches_uwsgi_as_it_is(self, log: Log, tmp_path: Path) -> None:
        (tmp_path / "page").write_bytes(b"file")
        file = open(tmp_path / "page", "rb")  # noqa: SIM115  # the server closes it
        environ = make_environ(wsgi_file_wrapper=lambda file, _size=0: file)
        answer = call(log.around(answering(file)), environ)
        assert answer.result is file
        assert file.closed
        assert [line["sent"] for line in log.lines] == ["-"]

    def test_file_that_takes_no_attribute_is_read(self, log: Log) -> None:
        class Narrow:
            __slots__ = ()

            def read(self, _size: int = -1) -> bytes:
                return b""

            def __iter__(self) -> Iterator[bytes]:
                return iter([b"file"])

        answer = call(log.around(answering(Narrow())), make_environ(wsgi_file_wrapper=lambda file: file))
        assert answer.body == b"file"
        assert [line["sent"] for line in log.lines] == ["4"]

    def test_without_file_wrapper_nothing_is_taken_for_a_file(self, log: Log) -> None:
        answer = call(log.around(answering(FileWrapper(BytesIO(b"file")))), make_environ(wsgi_file_wrapper=None))
        assert answer.body == b"file"
        assert [line["sent"] for line in log.lines] == ["4"]


class TestLogFile:
    def test_file_is_appended_to_and_not_readable_by_others(self, tmp_path: Path) -> None:
        path = tmp_path / "access.log"
        umask = os.umask(0)
        try:
            LogFile(str(path)).write("one\n")
        finally:
            os.umask(umask)
        LogFile(str(path)).write("two\n")
        assert path.read_text() == "one\ntwo\n"
        assert path.stat().st_mode & 0o777 == 0o640

    def test_moved_file_is_followed_within_a_second(self, tmp_path: Path) -> None:
        path = tmp_path / "access.log"
        log = LogFile(str(path))
        number = log._fd
        log.stamp(1)
        log.write("one\n")
        path.rename(tmp_path / "access.log.1")
        log.stamp(1)
        log.write("two\n")
        log.stamp(2)
        log.write("three\n")
        assert (tmp_path / "access.log.1").read_text() == "one\ntwo\n"
        assert path.read_text() == "three\n"
        assert log._fd == number
        assert not os.get_inheritable(number)

    def test_stamp_is_utc(self, tmp_path: Path) -> None:
        assert LogFile(str(tmp_path / "a")).stamp(971186136) == "10/Oct/2000:13:55:36 +0000"

    def test_failing_log_is_told_once_and_stops_nothing(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        app = log_access(hello, "/dev/full")
        assert [call(app).body for _ in range(3)] == [b"hello"] * 3
        assert capfd.readouterr().err == (
            "serve: the access log /dev/full cannot be written: No space left on device; lines are lost.\n"
        )

    def test_line_after_half_a_line_begins_anew(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "access.log"
        log = LogFile(str(path))
        write = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
        log.write("first\n")
        monkeypatch.undo()
        log.write("second\n")
        log.write("third\n")
        assert path.read_text() == "fir\nsecond\nthird\n"

    def test_dash_is_descriptor_1(self) -> None:
        code = (
            "from launcher.middleware.access_log import log_access\nfrom tests.exchange import call, hello\n"
            "call(log_access(hello, '-'))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert LINE.fullmatch(done.stdout)
