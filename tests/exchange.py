"""A WSGI server without a socket: one call, and what came of it."""

import sys
from collections.abc import Callable, Iterable
from io import BytesIO, StringIO
from typing import Any, NamedTuple, cast
from wsgiref.types import WSGIApplication, WSGIEnvironment


class Answer(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes
    result: Iterable[bytes] | None
    """What the application returned."""
    error: BaseException | None
    """What it raised."""

    @property
    def header(self) -> dict[str, str]:
        return dict(self.headers)


class FileWrapper:
    """As gunicorn's and wsgiref's: a class, whose instances are sent by other means than iteration."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self.file = file
        self.block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> "FileWrapper":
        return self

    def __next__(self) -> bytes:
        data: bytes = self.file.read(self.block_size)
        if not data:
            raise StopIteration
        return data


def make_environ(body: bytes = b"", /, **changes: Any) -> WSGIEnvironment:
    """Return an environ as a server makes it; None removes a key, `wsgi_input` stands for `wsgi.input`."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_HOST": "testserver",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    for key, value in changes.items():
        name = key.replace("wsgi_", "wsgi.") if key.startswith("wsgi_") else key
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
    return environ


def call(app: WSGIApplication, environ: WSGIEnvironment | None = None, *, read: int | None = None) -> Answer:
    """Call `app` as PEP 3333 wants it; `read` chunks only, where the client goes away."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    body: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        if exc_info:
            if body:
                raise exc_info[1].with_traceback(exc_info[2])
            started.clear()
        assert not started, "start_response was called twice"
        started.append((status, headers))
        return write

    def write(data: bytes) -> None:
        assert started
        body.append(data)

    result: Iterable[bytes] | None = None
    error: BaseException | None = None
    try:
        result = app(make_environ() if environ is None else environ, start_response)
        try:
            for number, chunk in enumerate(result):
                if read is not None and number >= read:
                    break
                assert started, "a body before start_response"
                body.append(chunk)
        finally:
            if hasattr(result, "close"):
                cast(Any, result).close()
    except Exception as raised:
        error = raised
    status, headers = started[0] if started else ("", [])
    return Answer(status, headers, b"".join(body), result, error)


def hello(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
    """Answer `hello`."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def forget_modules(before: set[str]) -> None:
    """Remove the modules that were imported since."""
    for name in set(sys.modules) - before:
        del sys.modules[name]
