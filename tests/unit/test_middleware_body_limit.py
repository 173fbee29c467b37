"""launcher.middleware.body_limit: 413 before the body is taken in."""

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

import pytest

from launcher.middleware.body_limit import BodyTooLarge, CountedInput, limit_body
from tests.exchange import Answer, FileWrapper, call, make_environ


def echo(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
    """Read everything, then answer with it."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


def never(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
    raise AssertionError("the application was called")


def send_chunked(app: WSGIApplication, body: bytes, limit: int, **changes: Any) -> Answer:
    environ = make_environ(body, REQUEST_METHOD="POST", CONTENT_LENGTH=None, HTTP_TRANSFER_ENCODING="chunked")
    environ.update(changes)
    return call(limit_body(app, limit), environ)


class TestAnnouncedLength:
    def test_body_up_to_the_limit_passes_untouched(self) -> None:
        environ = make_environ(b"x" * 10)
        stream = environ["wsgi.input"]
        assert call(limit_body(echo, 10), environ).body == b"x" * 10
        assert environ["wsgi.input"] is stream

    @pytest.mark.parametrize("length", ["11", "9" * 18, "9" * 5000])
    def test_larger_body_is_refused_before_the_application(self, length: str) -> None:
        answer = call(limit_body(never, 10), make_environ(CONTENT_LENGTH=length))
        assert (answer.status, answer.body) == ("413 Content Too Large", b"413 Content Too Large\n")

    @pytest.mark.parametrize("length", ["abc", "-5", "+5", "1_0", "5, 5", "²", "0x5"])
    def test_length_that_is_none_is_a_bad_request(self, length: str) -> None:
        assert call(limit_body(never, 10), make_environ(CONTENT_LENGTH=length)).status == "400 Bad Request"

    @pytest.mark.parametrize("changes", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}])
    def test_request_without_body_passes(self, changes: dict[str, str]) -> None:
        assert call(limit_body(echo, 0), make_environ(**changes)).status == "200 OK"

    def test_refusal_keeps_the_contract(self) -> None:
        answer = call(validator(limit_body(never, 10)), make_environ(CONTENT_LENGTH="11"))
        assert (answer.status, answer.error) == ("413 Content Too Large", None)

    def test_refusal_of_head_has_no_body(self) -> None:
        answer = call(limit_body(never, 10), make_environ(CONTENT_LENGTH="11", REQUEST_METHOD="HEAD"))
        assert (answer.status, answer.body) == ("413 Content Too Large", b"")


class TestOpenLength:
    def test_body_up_to_the_limit_is_read(self) -> None:
        answer = send_chunked(echo, b"x" * 10, 10)
        assert (answer.status, answer.body) == ("200 OK", b"x" * 10)

    def test_error_that_leaves_the_application_becomes_413(self) -> None:
        answer = send_chunked(echo, b"x" * 11, 10)
        assert (answer.status, answer.body, answer.error) == (
            "413 Content Too Large",
            b"413 Content Too Large\n",
            None,
        )

    def test_answer_that_the_application_made_of_the_error_becomes_413(self) -> None:
        closed = []

        class Page(list[bytes]):
            def close(self) -> None:
                closed.append(True)

        def app(environ: WSGIEnvironment, start_response: Any) -> Page:
            try:
                environ["wsgi.input"].read(100)
            except OSError:
                start_response("500 Internal Server Error", [])(b"written")
            return Page([b"sorry"])

        answer = send_chunked(app, b"x" * 11, 10)
        assert (answer.status, answer.body) == ("413 Content Too Large", b"413 Content Too Large\n")
        assert closed == [True]

    def test_413_of_the_application_is_left_to_it(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            try:
                environ["wsgi.input"].read()
            except OSError:
                start_response("413 Too Much", [])
            return [b"my own page"]

        answer = send_chunked(app, b"x" * 11, 10)
        assert (answer.status, answer.body) == ("413 Too Much", b"my own page")

    @pytest.mark.parametrize("caught", [True, False])
    def test_generator_that_reads_late_becomes_413(self, caught: bool) -> None:
        closed = []

        def app(environ: WSGIEnvironment, start_response: Any) -> Iterator[bytes]:
            try:
                try:
                    environ["wsgi.input"].read()
                except OSError:
                    if not caught:
                        raise
                start_response("200 OK", [])
                yield b"fine"
            finally:
                closed.append(True)

        answer = send_chunked(app, b"x" * 11, 10)
        assert (answer.status, answer.body, answer.error) == (
            "413 Content Too Large",
            b"413 Content Too Large\n",
            None,
        )
        assert closed == [True]

    def test_answer_that_has_begun_ends_with_the_error(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"begun"
            yield environ["wsgi.input"].read()

        answer = send_chunked(app, b"x" * 11, 10)
        assert (answer.status, answer.body) == ("200 OK", b"begun")
        assert isinstance(answer.error, BodyTooLarge)

    def test_file_goes_on_as_a_file(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [])
            wrapper: Iterable[bytes] = environ["wsgi.file_wrapper"](BytesIO(b"file"))
            return wrapper

        answer = send_chunked(app, b"x", 10)
        assert isinstance(answer.result, FileWrapper)
        assert answer.body == b"file"

    def test_http2_leaves_the_length_open_without_a_header(self) -> None:
        environ = make_environ(b"x" * 11, CONTENT_LENGTH=None, SERVER_PROTOCOL="HTTP/2.0")
        assert call(limit_body(echo, 10), environ).status == "413 Content Too Large"

    def test_length_and_chunks_together_are_both_counted(self) -> None:
        environ = make_environ(b"x" * 11, CONTENT_LENGTH="5", HTTP_TRANSFER_ENCODING="chunked")
        assert call(limit_body(echo, 10), environ).status == "413 Content Too Large"

    def test_errors_of_the_application_pass(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            raise RuntimeError("own")

        assert isinstance(send_chunked(app, b"", 10).error, RuntimeError)

    def test_exc_info_reaches_the_server(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            try:
                raise RuntimeError
            except RuntimeError:
                import sys

                start_response("500 Oops", [], sys.exc_info())
            return [b"sorry"]

        answer = send_chunked(app, b"", 10)
        assert (answer.status, answer.body) == ("500 Oops", b"sorry")

    def test_validator_outside_and_inside_is_content(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            body = environ["wsgi.input"].read(65536) + b"".join(environ["wsgi.input"])
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [body]

        environ = make_environ(b"ab\ncd", CONTENT_LENGTH=None, HTTP_TRANSFER_ENCODING="chunked")
        answer = call(validator(limit_body(validator(app), 10)), environ)
        assert (answer.body, answer.error) == (b"ab\ncd", None)


Reading = Callable[[CountedInput], Any]


class TestCountedInput:
    READINGS: list[tuple[Reading, Any]] = [
        (lambda stream: stream.read(), b"one\ntwo\nthree"),
        (lambda stream: stream.read(None), b"one\ntwo\nthree"),
        (lambda stream: stream.read(5), b"one\nt"),
        (lambda stream: stream.read(0), b""),
        (lambda stream: stream.readline(), b"one\n"),
        (lambda stream: stream.readline(None), b"one\n"),
        (lambda stream: stream.readline(2), b"on"),
        (lambda stream: stream.readline(0), b""),
        (lambda stream: stream.readlines(), [b"one\n", b"two\n", b"three"]),
        (lambda stream: stream.readlines(5), [b"one\n", b"two\n"]),
        (lambda stream: list(stream), [b"one\n", b"two\n", b"three"]),
    ]

    @pytest.mark.parametrize(("reading", "expected"), READINGS)
    def test_reads_like_any_input(self, reading: Reading, expected: Any) -> None:
        assert reading(CountedInput(BytesIO(b"one\ntwo\nthree"), 13)) == expected

    @pytest.mark.parametrize("reading", [reading for reading, found in READINGS if found])
    def test_every_way_of_reading_is_counted(self, reading: Reading) -> None:
        stream = CountedInput(BytesIO(b"one\ntwo\nthree"), 1)
        with pytest.raises(BodyTooLarge):
            reading(stream)
        with pytest.raises(BodyTooLarge):
            stream.read(1)

    def test_no_more_than_one_byte_above_the_limit_is_asked_for(self) -> None:
        stream = BytesIO(b"x" * 100)
        with pytest.raises(BodyTooLarge):
            CountedInput(stream, 10).read(50)
        assert stream.tell() == 11
