"""A WSGI application with one path for each thing a server may meet."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.validate import validator

from launcher.middleware.body_limit import limit_body

TEXT = [("Content-Type", "text/plain")]


class Closing:
    """A result that says when it is closed."""

    def __init__(self, chunks: Iterable[bytes], fails: bool = False) -> None:
        self.chunks = chunks
        self.fails = fails

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        print("closed", flush=True)
        if self.fails:
            raise ValueError("close() failed")


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    name = environ["PATH_INFO"].strip("/").replace("/", "_").replace("-", "_") or "hello"
    answer = globals().get(f"on_{name}")
    if answer is None:
        start_response("404 Not Found", TEXT)
        return [b"no such path\n"]
    result: Iterable[bytes] = answer(environ, start_response)
    return result


def on_hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return [b"hello"]


def on_environ(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    plain = {key: value for key, value in environ.items() if isinstance(value, (str, bool, int))}
    return [json.dumps(plain).encode()]


def on_process(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    facts = {
        "pid": os.getpid(),
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": sorted(os.getgroups()),
        "home": os.environ.get("HOME"),
        "threads": threading.active_count(),
        "unlink": os.environ.get("LAUNCHER_UNLINK"),
    }
    return [json.dumps(facts).encode()]


def on_jump(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Put the clock forward, as this process sees it."""
    real = time.time
    time.time = lambda: real() + 3600
    start_response("200 OK", TEXT)
    return [b"an hour later"]


def on_variables(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(dict(os.environ)).encode()]


def on_echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [*TEXT, ("X-Length", environ.get("CONTENT_LENGTH", "none"))])
    return [body]


def on_lines(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    first = environ["wsgi.input"].readline()
    rest = list(environ["wsgi.input"])
    start_response("200 OK", TEXT)
    return [repr([first, rest, environ["wsgi.input"].read(5)]).encode()]


def on_unread(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return [b"body unread"]


def on_hold(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Wait until the test writes to the FIFO that the query names."""
    begun = time.monotonic()
    with open(environ["QUERY_STRING"], "rb") as fifo:
        fifo.read(1)
    start_response("200 OK", [*TEXT, ("X-Begun", str(begun))])
    return [b"held"]


def on_hold_late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    yield b"begun "
    with open(environ["QUERY_STRING"], "rb") as fifo:
        fifo.read(1)
    yield b"ended"


def on_stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return Closing(iter([b"", b"one ", b"", b"two"]))


def on_close_fails(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return Closing([b"whole"], fails=True)


def on_endless(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)

    def chunks() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    return Closing(chunks())


def on_empty(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return []


def on_write(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", TEXT)
    write(b"written ")
    return [b"returned"]


def on_fail(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise LookupError("a secret of the application")


def on_fail_late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    yield b"half"
    raise LookupError("a secret of the application")


def on_exit(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise SystemExit(9)


def on_broken_database(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise ConnectionResetError("of the database")


def on_recover(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    try:
        raise LookupError("a secret of the application")
    except LookupError:
        start_response("503 Later", TEXT, sys.exc_info())
    return [b"recovered"]


def on_twice(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    start_response("201 Created", TEXT)
    return [b"twice"]


def on_never(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return [b"never started"]


def on_text(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return ["text"]  # type: ignore[list-item]  # the mistake is what is tested


def on_too_much(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "4")])
    return [b"12", b"3456", b"78"]


def on_too_little(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    return [b"1234"]


def on_no_content(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("204 No Content", [("Content-Length", "4")])
    return [b"body"]


def on_not_modified(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def on_split(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("X-A", "1\r\nX-Smuggled: 2")])
    return [b"split"]


def on_hop(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Transfer-Encoding", "chunked")])
    return [b"hop"]


def on_astral(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("X-A", "\u2603")])
    return [b"snow"]


def on_file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](open(__file__, "rb"))  # noqa: SIM115
    return wrapped


def on_read_late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    yield b"begun "
    yield environ["wsgi.input"].read()


def on_logged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Read the body, and say what came of it where the client cannot hear it."""
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        print(f"read failed: {type(error).__name__}", flush=True)
        raise
    return on_hello(environ, start_response)


def on_fork(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Leave a process behind that holds open what this one does, until somebody writes to a FIFO."""
    if not os.fork():
        with open(environ["QUERY_STRING"], "rb") as fifo:
            fifo.read(1)
        os._exit(0)
    start_response("200 OK", TEXT)
    return [b"forked"]


def on_thread(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Leave a thread behind that does not end."""
    threading.Thread(target=time.sleep, args=(3600,)).start()
    start_response("200 OK", TEXT)
    return [b"left one"]


validated = validator(app)
limited = limit_body(app, 1000)
