"""launcher.middleware.whole_body: what the application finds, and what it never sees."""

import io
import tempfile
from typing import Any

import pytest

from launcher.middleware.body_limit import limit_body
from launcher.middleware.whole_body import IN_MEMORY, read_whole_body
from tests.exchange import call, make_environ

CHUNKED = {"HTTP_TRANSFER_ENCODING": "Chunked", "CONTENT_LENGTH": ""}


class Stream(io.BytesIO):
    """Gives little at a time, and an error at its end."""

    def __init__(self, data: bytes, error: Exception | None = None) -> None:
        super().__init__(data)
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size > 0
        data = super().read(min(size, 1000))
        if not data and self._error is not None:
            raise self._error
        return data


def echo(environ: Any, start_response: Any) -> list[bytes]:
    assert "HTTP_TRANSFER_ENCODING" not in environ
    start_response("200 OK", [("X-Length", environ["CONTENT_LENGTH"])])
    return [environ["wsgi.input"].readline(), environ["wsgi.input"].read()]


@pytest.mark.parametrize("size", [0, 1, 5000, IN_MEMORY + 1])
def test_length_is_told(size: int) -> None:
    body = b"x" * size
    answer = call(read_whole_body(echo), make_environ(**CHUNKED, wsgi_input=Stream(body)))
    assert (answer.status, answer.header["X-Length"], answer.body) == ("200 OK", str(size), body)


def test_body_of_known_length_is_left_alone() -> None:
    stream = io.BytesIO(b"ab\ncd")
    answer = call(read_whole_body(echo), make_environ(CONTENT_LENGTH="5", wsgi_input=stream))
    assert answer.body == b"ab\ncd"


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"wsgi_input": Stream(b"abc", OSError("malformed"))}, "400 Bad Request"),
        ({"CONTENT_LENGTH": "3"}, "400 Bad Request"),
        ({"HTTP_TRANSFER_ENCODING": "gzip, chunked"}, "501 Not Implemented"),
        ({"HTTP_TRANSFER_ENCODING": "identity"}, "501 Not Implemented"),
    ],
)
def test_what_cannot_be_read_never_reaches_the_application(changed: dict[str, Any], status: str) -> None:
    def never(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError("called")

    assert (
        call(read_whole_body(never), make_environ(**{**CHUNKED, "wsgi_input": Stream(b"abc"), **changed})).status
        == status
    )


def test_error_of_the_server_is_a_bad_request_to_the_log_and_goes_on() -> None:
    malformed = ValueError("malformed")
    answer = call(read_whole_body(echo), make_environ(**CHUNKED, wsgi_input=Stream(b"abc", malformed)))
    assert (answer.status, answer.error) == ("400 Bad Request", malformed)


def test_limit_counts_before_anything_is_kept() -> None:
    stream = Stream(b"x" * 10_000)
    answer = call(limit_body(read_whole_body(echo), 2000), make_environ(**CHUNKED, wsgi_input=stream))
    assert answer.status == "413 Content Too Large"
    assert stream.tell() < 4000


def test_file_that_cannot_be_made_is_no_fault_of_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/directory")
    answer = call(read_whole_body(echo), make_environ(**CHUNKED, wsgi_input=Stream(b"x" * (IN_MEMORY + 1))))
    assert isinstance(answer.error, FileNotFoundError)
    assert not answer.status
