"""What is told of an application that cannot be loaded: to the loop, to a terminal, to a browser."""

import json
import os
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication
from wsgiref.validate import validator

import pytest

from launcher import application
from launcher.application import ApplicationError, Step
from launcher.develop import broken
from launcher.develop.channel import FAILURE, VARIABLE, Channel
from launcher.develop.terminal import failure_text
from launcher.develop.traceback_text import innermost, package, parts
from launcher.user_code import failure, files, tell
from tests.exchange import Answer, call, make_environ

CHAINED = """
import json
def inner():
    json.loads("<b>{")
def outer():
    try:
        inner()
    except ValueError as error:
        raise LookupError("it is <not> there") from error
outer()
"""


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Channel:
    directory = tmp_path / "channel"
    directory.mkdir()
    monkeypatch.setenv(VARIABLE, str(directory))
    monkeypatch.chdir(tmp_path)
    return Channel(str(directory))


def fail(directory: Path, code: str) -> ApplicationError:
    """Return what comes of a module with this code."""
    file = directory / "site.py"
    file.write_text(code)
    spec = application.Spec("site:app")
    try:
        exec(compile(file.read_text(), str(file), "exec"), {"__name__": "site"})
    except Exception as error:
        assert error.__traceback__
        error.__traceback__ = error.__traceback__.tb_next  # without this function
        told = failure(Step("site cannot be imported", "", spec), error)
        told.__cause__ = error
        return told
    raise AssertionError("it does not fail")


class TestTell:
    def test_loop_is_told_and_nothing_is_printed(
        self, channel: Channel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        tell(fail(tmp_path, CHAINED))
        facts = channel.hear(FAILURE)
        assert "site cannot be imported: LookupError: it is <not> there (site.py:9)" in facts["message"]
        assert "JSONDecodeError" in facts["trace"]
        assert facts["files"] == [str(tmp_path / "site.py")]
        assert capfd.readouterr() == ("", "")

    def test_without_a_loop_it_is_printed(
        self, channel: Channel, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        error = fail(tmp_path, CHAINED)
        monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
        tell(error)
        first = capfd.readouterr().err
        monkeypatch.delenv(VARIABLE)
        tell(error)
        assert first == capfd.readouterr().err == error.report()

    def test_worker_tells_before_it_ends(self, channel: Channel, tmp_path: Path) -> None:
        (tmp_path / "mysite.py").write_text("import helper\n")
        (tmp_path / "helper.py").write_text("def f(:\n")
        spec = json.dumps({"target": "mysite:app", "path": [str(tmp_path)]})
        environ = {**os.environ, application.VARIABLE: spec, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-P", "-c", "import launcher.wsgi"]
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (4, "")
        assert set(channel.hear(FAILURE)["files"]) == {str(tmp_path / "mysite.py"), str(tmp_path / "helper.py")}

    def test_files_of_groups_and_contexts_count(self, tmp_path: Path) -> None:
        code = """
            try:
                exec(compile("1 / 0", "/first.py", "exec"))
            except Exception:
                try:
                    exec(compile("1 / 0", "/second.py", "exec"))
                except Exception as error:
                    raise ExceptionGroup("several", [error])
        """
        code = "\n".join(line[12:] for line in code.splitlines())
        assert set(files(fail(tmp_path, code))) == {str(tmp_path / "site.py"), "/first.py", "/second.py"}

    def test_those_of_packages_and_of_the_standard_library_do_not_count(self, tmp_path: Path) -> None:
        code = (
            f"exec(compile('import json; json.loads(\"\")', "
            f"{os.path.dirname(os.__file__) + '/site-packages/its.py'!r}, 'exec'))"
        )
        found = files(fail(tmp_path, code))
        assert [os.path.basename(file) for file in found] == ["site.py"]


class TestTerminal:
    def facts(self, directory: Path, code: str = CHAINED) -> dict[str, Any]:
        error = fail(directory, code)
        return {"message": error.message, "trace": error.trace, "files": []}

    def test_what_others_did_is_one_line(self, channel: Channel, tmp_path: Path) -> None:
        text = failure_text(self.facts(tmp_path), colour=False)
        assert text.startswith("site cannot be imported:\n\nTraceback")
        assert '  File "site.py", line 9, in outer\n' in text
        assert "\n  ... 3 frames of Python\njson.decoder.JSONDecodeError" in text
        assert text.rstrip().endswith("LookupError: it is <not> there")
        assert os.path.dirname(os.__file__) not in text

    def test_colour_is_all_that_is_added(self, channel: Channel, tmp_path: Path) -> None:
        facts = self.facts(tmp_path)
        coloured = failure_text(facts, colour=True)
        assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == failure_text(facts, colour=False)
        assert '\x1b[1m  File "site.py", line 9' in coloured
        assert "\x1b[1;31mLookupError: it is <not> there\x1b[0m" in coloured

    def test_others_are_shown_where_there_is_nothing_else(self) -> None:
        trace = f'Traceback (most recent call last):\n  File "{os.__file__}", line 1, in f\n    x\nOSError: no\n'
        assert failure_text({"message": "m", "trace": trace}, colour=False) == f"m\n\n{trace.rstrip()}"

    @pytest.mark.parametrize(
        ("message", "error", "opening"),
        [
            ("a fails: Oh: it is so (a.py:1).", "pkg.Oh: it is so.", "a fails:"),
            ("a fails: Oh: it is so (a.py:1).", "Oh: it is so\nand more", "a fails:"),
            ("a fails: Oh (a.py:1).", "Oh", "a fails:"),
            ("a needs the module b.", "ModuleNotFoundError: No module named 'b'", "a needs the module b."),
        ],
    )
    def test_error_is_said_once(self, message: str, error: str, opening: str) -> None:
        trace = f'Traceback (most recent call last):\n  File "/p/a.py", line 1, in f\n{error}\n'
        assert failure_text({"message": message, "trace": trace}, colour=False) == f"{opening}\n\n{trace.rstrip()}"

    def test_message_may_be_all(self) -> None:
        assert failure_text({"message": "one\ntwo", "trace": ""}, colour=False) == "one\ntwo"


class TestParts:
    def test_lines_are_what_they_were(self) -> None:
        trace = (
            "Traceback (most recent call last):\n"
            '  File "/p/a.py", line 3, in f\n'
            "    g()\n"
            "    ^^^\n"
            "  [Previous line repeated 9 more times]\n"
            '  File "/x/site-packages/django/apps.py", line 7, in g\n'
            "ValueError: several\n"
            '    lines, File "/no/frame.py", line 1\n'
            "\n"
            "During handling of the above exception, another exception occurred:\n"
            "\n"
            '  File "/p/b.py", line 1\n'
            "    def (\n"
            "        ^\n"
            "SyntaxError: invalid syntax\n"
        )
        found = parts(trace)
        assert "\n".join(line for part in found for line in part.lines) == trace.rstrip()
        frames = [(part.file, part.number, part.own, len(part.lines)) for part in found if part.file]
        assert frames == [
            ("/p/a.py", 3, True, 3),
            ("/x/site-packages/django/apps.py", 7, False, 1),
            ("/p/b.py", 1, True, 3),
        ]
        nearest = innermost(found)
        assert nearest
        assert nearest.file == "/p/b.py"

    def test_packages(self) -> None:
        assert package("/v/lib/python3.11/site-packages/django/apps.py") == "django"
        assert package("/usr/lib/python3/dist-packages/six.py") == "six"
        assert package(os.__file__) == "Python"
        assert package(broken.__file__) == "serve"


class Text(HTMLParser):
    """What a page says, and the elements that it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.said += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


class TestPage:
    @pytest.fixture
    def app(self, channel: Channel, tmp_path: Path) -> WSGIApplication:
        broken._application.cache_clear()
        tell(fail(tmp_path, CHAINED))
        return validator(broken.application)

    def ask(self, app: WSGIApplication, **changes: Any) -> Answer:
        answer = call(app, make_environ(**{"HTTP_ACCEPT": "text/html,*/*", **changes}))
        assert answer.error is None
        assert (answer.status, answer.header["Cache-Control"]) == ("500 Internal Server Error", "no-store")
        return answer

    def test_shows_message_traceback_and_source(self, app: WSGIApplication) -> None:
        answer = self.ask(app)
        text = Text(answer.body.decode())
        assert answer.header["Content-Length"] == str(len(answer.body))
        assert "site cannot be imported: LookupError: it is <not> there (site.py:9)" in text.said
        assert '        raise LookupError("it is <not> there") from error' in text.said
        assert "<not>" not in answer.body.decode()
        kinds = [attrs.get("class") for tag, attrs in text.tags if tag == "span"]
        assert {"here", "own", "other", "between"} <= set(kinds)

    def test_needs_nothing_from_elsewhere(self, app: WSGIApplication) -> None:
        text = Text(self.ask(app).body.decode())
        links = [value for _, attrs in text.tags for name, value in attrs.items() if name in ("src", "href")]
        assert links == ["/-serve/live.js"]

    def test_whoever_is_no_browser_has_text(self, app: WSGIApplication) -> None:
        answer = self.ask(app, HTTP_ACCEPT="application/json")
        assert answer.header["Content-Type"] == "text/plain; charset=utf-8"
        assert b"LookupError: it is <not> there\n" in answer.body

    @pytest.mark.parametrize("accept", ["text/html", "*/*"])
    def test_head_is_that_of_get(self, app: WSGIApplication, accept: str) -> None:
        head = self.ask(app, REQUEST_METHOD="HEAD", HTTP_ACCEPT=accept)
        assert head.body == b""
        assert head.headers == self.ask(app, HTTP_ACCEPT=accept).headers

    def test_form_that_was_sent_is_not_sent_again(self, app: WSGIApplication) -> None:
        assert b"<script" not in self.ask(app, REQUEST_METHOD="POST").body
        assert b"loads itself anew" not in self.ask(app, REQUEST_METHOD="POST").body

    def test_events_tell_this_failure_from_the_next(
        self, app: WSGIApplication, channel: Channel, tmp_path: Path
    ) -> None:
        def told() -> bytes:
            return call(app, make_environ(PATH_INFO="/-serve/events"), read=1).body

        first = told()
        assert told() == first
        channel.forget(FAILURE)
        assert told() == first
        channel.tell(FAILURE, {"message": "another", "trace": ""})
        os.utime(os.path.join(channel.directory, FAILURE), ns=(1, 1))
        assert told() != first
        assert b"another" in self.ask(app).body

    def test_failure_of_which_nothing_is_known(self, channel: Channel) -> None:
        broken._application.cache_clear()
        answer = self.ask(validator(broken.application))
        assert "cannot be loaded" in unescape(answer.body.decode())

    def test_is_below_the_prefix(self, app: WSGIApplication, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(application.VARIABLE, json.dumps({"target": "x:y", "url_prefix": "/shop"}))
        broken._application.cache_clear()
        assert b'src="/shop/-serve/live.js"' in self.ask(app).body
        assert call(app, make_environ(PATH_INFO="/shop/-serve/live.js")).status == "200 OK"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("", True),
        ("localhost", True),
        ("localhost:8000", True),
        ("site.localhost:8000", True),
        ("127.0.0.1:8000", True),
        ("192.168.1.7", True),
        ("[::1]:8000", True),
        ("stranger.example:8000", False),
        ("127.0.0.1.stranger.example", False),
    ],
)
def test_source_is_for_who_asks_by_address(host: str, local: bool) -> None:
    assert broken.is_local(host) is local
