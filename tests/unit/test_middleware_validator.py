"""launcher.middleware.validator: what breaks PEP 3333 is told, what is legal passes."""

from collections.abc import Iterable
from typing import Any
from wsgiref.types import WSGIApplication

import pytest

from launcher.middleware.validator import validate
from tests.exchange import call, make_environ


def answering(status: str, headers: list[tuple[str, str]], body: Any) -> WSGIApplication:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, headers)
        return body(environ) if callable(body) else body

    return app


TEXT = [("Content-Type", "text/plain")]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        ("200 OK", TEXT, ["text"]),
        ("200 OK", TEXT, b"bytes"),
        ("200 OK", TEXT, None),
        ("200 OK", [("X", 1)], []),
        ("200 OK", [("X", "two\r\nlines")], []),
        (200, TEXT, []),
        ("200 OK", TEXT, lambda environ: environ["wsgi.input"].close() or []),
    ],
)
def test_what_breaks_the_rules_is_told(status: Any, headers: Any, body: Any) -> None:
    assert isinstance(call(validate(answering(status, headers, body))).error, AssertionError)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        ("200 OK", [], [b"bytes"]),
        ("302 Found", [("Location", "/")], []),
        ("204 No Content", TEXT, []),
        ("304 Not Modified", TEXT, []),
        ("200 OK", TEXT, lambda environ: [environ["wsgi.input"].read()]),
        ("200 OK", TEXT, lambda environ: [environ["wsgi.input"].read(2), environ["wsgi.input"].readline()]),
        ("200 OK", TEXT, lambda environ: (piece for piece in (b"a", b"b"))),
    ],
)
def test_what_is_legal_passes(status: str, headers: Any, body: Any) -> None:
    app = answering(status, headers, body)
    expected = call(app, make_environ(b"a\nb"))
    answer = call(validate(app), make_environ(b"a\nb"))
    assert answer.error is None
    assert (answer.status, answer.headers, answer.body) == (expected.status, expected.headers, expected.body)


def test_the_application_gives_files_piece_by_piece() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return [b"whole" if "wsgi.file_wrapper" in environ else b"pieces"]

    environ = make_environ()
    assert call(validate(app), environ).body == b"pieces"
    assert "wsgi.file_wrapper" in environ
