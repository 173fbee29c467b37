"""What uWSGI's router is given to know where an answer ends, and when a connection does."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

from launcher.runners.uwsgi_answer import for_uwsgi
from launcher.runners.uwsgi_head import settle


class Server:
    """What a server does with an application, and what it was told."""

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        environ: Mapping[str, object] | None = None,
        *,
        draining: bool = False,
    ) -> None:
        self.heads: list[tuple[str, dict[str, str]]] = []
        self.sent = b""
        line = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/", "SERVER_PROTOCOL": "HTTP/1.0"}
        self.environ = {**line, "wsgi.input": io.BytesIO(), **(environ or {})}
        result = for_uwsgi(application, lambda: draining, routed=True, http=True)(self.environ, self._start)
        for piece in result:
            assert self.heads
            self.sent += piece
        if hasattr(result, "close"):
            result.close()

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None, /
    ) -> Callable[[bytes], object]:
        assert not self.heads
        assert exc_info is None
        told = dict(headers)
        assert told.pop("Date").endswith(" GMT")
        self.heads.append((status, told))
        return self._write

    def _write(self, data: bytes) -> None:
        self.sent += data

    @property
    def headers(self) -> dict[str, str]:
        return self.heads[-1][1]


def whole(*pieces: bytes, status: str = "200 OK", headers: tuple[tuple[str, str], ...] = ()) -> Any:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, list(headers))
        return list(pieces)

    return application


@pytest.mark.parametrize(
    ("application", "environ", "length"),
    [
        (whole(b"four"), {}, "4"),
        (whole(), {}, "0"),
        (whole(b"two", b"pieces"), {}, None),
        (whole(b"", status="304 Not Modified"), {}, None),
        (whole(status="204 No Content"), {}, None),
        (whole(b""), {"REQUEST_METHOD": "HEAD"}, None),
        (whole(b"four", headers=(("content-length", "4"),)), {}, None),
        (whole(b"0\r\n\r\n", headers=(("Transfer-Encoding", "chunked"),)), {}, None),
    ],
    ids=["one piece", "none", "several", "304", "204", "HEAD", "known", "chunked"],
)
def test_an_answer_in_one_piece_has_a_length(application: Any, environ: dict[str, str], length: str | None) -> None:
    assert Server(application, environ).headers.get("Content-Length") == length


def test_a_generator_may_begin_late() -> None:
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        yield b"b"

    server = Server(application)
    assert (server.headers, server.sent) == ({}, b"ab")


def test_an_application_may_write() -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"first ")
        write(b"then ")
        return [b"last"]

    server = Server(application)
    assert (server.headers, server.sent) == ({}, b"first then last")


def test_an_error_replaces_a_head_that_is_not_sent() -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        start_response("500 Internal Server Error", [], (ValueError, ValueError(), None))
        return [b"sorry"]

    assert Server(application).heads == [("500 Internal Server Error", {"Content-Length": "5"})]


@pytest.mark.parametrize("begun", [False, True], ids=["before", "after it began"])
def test_whoever_asks_of_an_application_that_raises_hears_it(begun: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        if begun:
            start_response("200 OK", [])
        raise ValueError("no")

    server = Server(application)
    assert len(server.heads) == 1
    assert (server.heads[0][0], server.sent) == ("500 Internal Server Error", b"500 Internal Server Error\n")
    assert capsys.readouterr().err.count("ValueError: no") == 1


@pytest.mark.parametrize(
    ("draining", "environ", "closes"),
    [(False, {}, False), (True, {}, True), (False, {"HTTP_CONNECTION": "Close"}, True)],
    ids=["serving", "stopping", "asked"],
)
def test_who_is_to_go_is_told(draining: bool, environ: dict[str, str], closes: bool) -> None:
    server = Server(whole(b"x"), environ, draining=draining)
    assert server.headers.get("Connection") == ("close" if closes else None)


def test_what_an_application_says_of_the_connection_is_dropped() -> None:
    application = whole(b"x", headers=(("Connection", "keep-alive"), ("X-Mine", "1")))
    assert Server(application).headers == {"X-Mine": "1", "Content-Length": "1"}


def test_what_nobody_read_of_a_body_is_read_after_the_answer() -> None:
    body = io.BytesIO(b"x" * 200_000)
    closed = []

    class Answer(list[bytes]):
        def close(self) -> None:
            closed.append(body.tell())

    def application(environ: Any, start_response: Any) -> Answer:
        start_response("413 Content Too Large", [])
        return Answer([b"no"])

    server = Server(application, {"CONTENT_LENGTH": "200000", "wsgi.input": body})
    assert (server.sent, closed) == (b"no", [200_000])


def test_a_path_that_routes_of_uwsgi_rewrote_stays() -> None:
    asked = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/a/../b", "SERVER_PROTOCOL": "HTTP/1.0", "PATH_INFO": "/else"}
    for path, expected in ((True, "/a/../b"), (False, "/else")):
        environ: dict[str, Any] = dict(asked)
        assert settle(environ, "0", 100, path=path) == ""
        assert environ["PATH_INFO"] == expected
