"""launcher.middleware.live: which answers get the script, and what becomes of all others."""

import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

import pytest

from launcher.develop.events import Events
from launcher.middleware.live import refresh_pages
from tests.exchange import Answer, FileWrapper, call, make_environ

TAG = b'<script async src="/-serve/live.js" data-state="now"></script>\n'
HTML = ("Content-Type", "text/html; charset=utf-8")
PAGE = b"<p>hello"


def live(app: WSGIApplication, prefix: str = "", *, mark: bool = True) -> WSGIApplication:
    return refresh_pages(app, Events(lambda: "now", 1), prefix, mark=mark)


def answering(*body: bytes, status: str = "200 OK", headers: Iterable[tuple[str, str]] = (HTML,)) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
        start_response(status, list(headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else list(body)

    return app


def ask(app: WSGIApplication, **changes: Any) -> Answer:
    """Ask between two of wsgiref's validators."""
    return call(validator(live(validator(app))), make_environ(**changes))


class Body:
    """An answer that notes its end."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks, self.error, self.closed = chunks, error, 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed += 1


class TestPages:
    def test_script_comes_last(self) -> None:
        answer = ask(answering(PAGE))
        assert (answer.status, answer.body) == ("200 OK", PAGE + TAG)

    def test_length_is_that_of_both(self) -> None:
        app = answering(PAGE, headers=[HTML, ("content-length", str(len(PAGE)))])
        answer = ask(app)
        assert answer.header["content-length"] == str(len(answer.body)) == str(len(PAGE + TAG))
        head = ask(app, REQUEST_METHOD="HEAD")
        assert (head.header, head.body) == (answer.header, b"")

    @pytest.mark.parametrize(
        ("policies", "nonce"),
        [
            (["script-src 'nonce-a+b/c=' 'strict-dynamic'"], "a+b/c="),
            (["DEFAULT-SRC 'self' 'nonce-one'; script-src 'nonce-two'"], "two"),
            (["script-src 'nonce-one'; script-src-elem 'self' 'nonce-two'"], "two"),
            (["default-src 'self' 'nonce-one'; style-src 'nonce-two'"], "one"),
            (["img-src *; ;", "script-src 'nonce-one'"], "one"),
            (["script-src 'self'; style-src 'nonce-two'"], ""),
            (["""script-src 'nonce-"><b>'"""], ""),
        ],
    )
    def test_script_shows_the_nonce_of_the_page(self, policies: list[str], nonce: str) -> None:
        told = [("Content-Security-Policy", policy) for policy in policies]
        answer = ask(answering(PAGE, headers=[HTML, *told, ("Content-Length", str(len(PAGE)))]))
        tag = TAG.replace(b"<script", f'<script nonce="{nonce}"'.encode()) if nonce else TAG
        assert answer.body == PAGE + tag
        assert answer.header["Content-Length"] == str(len(answer.body))

    def test_error_pages_have_it_too(self) -> None:
        assert ask(answering(PAGE, status="500 Oh")).body == PAGE + TAG

    def test_stream_is_handed_on_piece_by_piece(self) -> None:
        body = Body(b"a", b"b", b"c")

        def app(environ: WSGIEnvironment, start_response: Any) -> Body:
            start_response("200 OK", [HTML])
            return body

        assert call(live(app), read=2).body == b"ab"
        assert body.closed == 1
        assert call(live(app)).body == b"abc" + TAG

    def test_application_may_begin_late(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [HTML, ("Content-Length", "2")])
            yield b"a"
            yield b"b"

        answer = ask(app)
        assert (answer.body, answer.header["Content-Length"]) == (b"ab" + TAG, str(2 + len(TAG)))

    def test_application_may_begin_late_with_nothing_to_say(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [HTML])
            yield from ()

        assert call(live(app)).body == TAG

    def test_application_may_write(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            write = start_response("200 OK", [HTML, ("Content-Length", "2")])
            write(b"a")
            return [b"b"]

        answer = ask(app)
        assert (answer.body, answer.header["Content-Length"]) == (b"ab" + TAG, str(2 + len(TAG)))

    def test_script_is_where_the_site_is(self) -> None:
        environ = make_environ(SCRIPT_NAME="/a b", PATH_INFO='/"caf\xc3\xa9"/x')
        answer = call(live(answering(PAGE), '/"café"'), environ)
        assert b'src="/a%20b/%22caf%C3%A9%22/-serve/live.js"' in answer.body

    @pytest.mark.parametrize(
        ("changes", "is_page"),
        [
            ({"HTTP_SEC_FETCH_DEST": "document"}, True),
            ({"HTTP_SEC_FETCH_DEST": "iframe"}, True),
            ({"HTTP_SEC_FETCH_DEST": "empty"}, False),
            ({"HTTP_ACCEPT": "text/html,*/*;q=0.8"}, True),
            ({"HTTP_ACCEPT": "*/*"}, False),
            ({"HTTP_ACCEPT": "text/html", "HTTP_SEC_FETCH_DEST": "empty"}, False),
            ({"REQUEST_METHOD": "POST"}, False),
        ],
    )
    def test_only_what_a_browser_shows_and_can_ask_for_again(self, changes: dict[str, str], is_page: bool) -> None:
        asked: list[WSGIEnvironment] = []

        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            asked.append(environ)
            start_response("200 OK", [HTML])
            return [PAGE]

        given = {"HTTP_ACCEPT_ENCODING": "gzip", "HTTP_IF_NONE_MATCH": '"1"', "HTTP_RANGE": "bytes=0-1"}
        answer = call(live(app), make_environ(**given, **changes))
        assert answer.body == PAGE + (TAG if is_page else b"")
        assert [name for name in given if name in asked[0]] == ([] if is_page else list(given))


class TestOthers:
    @pytest.mark.parametrize(
        ("status", "headers"),
        [
            ("200 OK", [("Content-Type", "text/plain")]),
            ("200 OK", [("Content-Type", "application/xhtml+xml")]),
            ("200 OK", [HTML, ("Content-Encoding", "br")]),
            ("200 OK", [HTML, ("Content-Disposition", 'Attachment; filename="a"')]),
            ("206 Partial Content", [HTML]),
            ("302 Found", [HTML, ("Location", "/x")]),
        ],
    )
    def test_is_the_applications_own(self, status: str, headers: list[tuple[str, str]]) -> None:
        app = answering(PAGE, status=status, headers=[*headers, ("Content-Length", str(len(PAGE)))])
        plain, answer = call(app), call(live(app))
        assert answer == plain
        assert ask(app).body == PAGE

    @pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
    def test_without_a_body_it_stays_without(self, status: str) -> None:
        assert ask(answering(status=status, headers=[])).body == b""
        assert call(live(answering(status=status))).body == b""

    def test_result_is_handed_on_itself(self) -> None:
        body = Body(b"x")

        def app(environ: WSGIEnvironment, start_response: Any) -> Body:
            start_response("200 OK", [("Content-Type", "image/png")])
            return body

        assert call(live(app)).result is body
        assert body.closed == 1

    def test_file_is_left_to_the_server(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [HTML, ("Content-Length", "4")])
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](BytesIO(b"file"))
            return wrapped

        answer = call(live(app))
        assert isinstance(answer.result, FileWrapper)
        assert (answer.body, answer.header["Content-Length"]) == (b"file", "4")

    def test_unmarked_site_has_the_paths_alone(self) -> None:
        app = live(answering(PAGE), mark=False)
        assert call(app).body == PAGE
        assert call(app, make_environ(PATH_INFO="/-serve/live.js")).body.startswith(b"// ")


class TestErrors:
    def test_close_is_reached_after_one(self) -> None:
        body = Body(b"a", error=RuntimeError("midway"))

        def app(environ: WSGIEnvironment, start_response: Any) -> Body:
            start_response("200 OK", [HTML])
            return body

        answer = call(live(app))
        assert (str(answer.error), answer.body, body.closed) == ("midway", b"a", 1)

    def test_an_application_that_fails_has_not_begun(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            start_response("200 OK", [HTML])
            raise RuntimeError

        answer = call(live(app))
        assert isinstance(answer.error, RuntimeError)
        assert answer.status == ""

    def test_close_is_reached_where_the_server_refuses_the_head(self) -> None:
        body = Body(PAGE)

        def app(environ: WSGIEnvironment, start_response: Any) -> Body:
            start_response("200 OK", [HTML])
            return body

        def refuse(*head: Any) -> Any:
            raise ValueError("no such head")

        with pytest.raises(ValueError, match="no such head"):
            live(app)(make_environ(), refuse)
        assert body.closed == 1

    def test_error_page_takes_the_place_of_a_page(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            start_response("200 OK", [HTML, ("Content-Length", "99")])
            start_response("500 Oh", [HTML], caught())
            return [PAGE]

        answer = ask(app)
        assert (answer.status, answer.body, answer.headers) == ("500 Oh", PAGE + TAG, [HTML])

    def test_error_page_of_one_who_has_begun_is_left_alone(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield b""
            start_response("500 Oh", [HTML, ("Content-Length", str(len(PAGE)))], caught())
            yield PAGE

        assert call(live(app)).error is not None  # as every server has it: the answer has begun

        def early(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            start_response("500 Oh", [HTML, ("Content-Length", str(len(PAGE)))], caught())
            return [PAGE]

        answer = ask(early)
        assert (answer.status, answer.body) == ("500 Oh", PAGE)

    def test_who_begins_twice_is_told_by_the_server(self) -> None:
        def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
            start_response("200 OK", [HTML])
            start_response("200 OK", [HTML])
            return []

        assert isinstance(call(live(app)).error, AssertionError)


class TestPaths:
    def test_script(self) -> None:
        answer = ask(answering(PAGE), PATH_INFO="/-serve/live.js")
        assert answer.header["Content-Type"].startswith("text/javascript")
        assert b"EventSource" in answer.body

    def test_events(self) -> None:
        answer = call(live(answering(PAGE)), make_environ(PATH_INFO="/-serve/events"), read=1)
        assert answer.header["Content-Type"].startswith("text/event-stream")
        assert re.fullmatch(rb"retry: \d+\ndata: now\n\n", answer.body)

    def test_below_the_prefix_alone(self) -> None:
        app = live(answering(PAGE, headers=[("Content-Type", "text/plain")]), "/shop/")
        assert call(app, make_environ(PATH_INFO="/-serve/live.js")).body == PAGE
        assert call(app, make_environ(PATH_INFO="/shop/-serve/live.js")).body != PAGE
        assert call(app, make_environ(PATH_INFO="/shop/-serve/other")).body == PAGE


def caught() -> Any:
    try:
        raise RuntimeError
    except RuntimeError as error:
        return type(error), error, error.__traceback__
