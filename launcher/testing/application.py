"""The WSGI application that the kit serves: one path for each thing a check wants to see from inside a worker."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from wsgiref.types import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

PIECE = 65536


class Page(NamedTuple):
    """What a path answers with."""

    body: Iterable[bytes]
    kind: str = "text/plain; charset=utf-8"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer; the paths are the keys of `PAGES`, what they are told stands in the query."""
    page = PAGES.get(environ.get("PATH_INFO", ""))
    if page is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such path\n"]
    body, kind = page(environ, dict(parse_qsl(environ.get("QUERY_STRING", ""))))
    start_response("200 OK", [("Content-Type", kind)])
    return body


def make() -> WSGIApplication:
    """Return the application: the factory form of a target."""
    return app


def _json(value: object) -> Page:
    return Page([json.dumps(value).encode()], "application/json")


def show_pid(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    return _json({"pid": os.getpid(), "thread": threading.get_ident()})


def show_process(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Report what the worker is: numbers, names, environment, search path. umask: read, never set to be read."""
    return _json(
        {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "uid": os.getuid(),
            "gid": os.getgid(),
            "groups": sorted(os.getgroups()),
            "umask": _status("Umask"),
            "rss_kib": int(_status("VmRSS").split()[0]),
            "cwd": os.getcwd(),
            "environ": dict(os.environ),
            "path": sys.path,
            "argv": sys.argv,
            "executable": sys.executable,
            "threads": threading.active_count(),
        }
    )


def _status(field: str) -> str:
    with open("/proc/self/status") as lines:
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))


def show_environ(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    plain = {key: value for key, value in environ.items() if isinstance(value, (str, bool, int, tuple))}
    return _json(plain)


def sleep(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Take `s` seconds."""
    time.sleep(float(told["s"]))
    return show_pid(environ, told)


def hold(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Wait until somebody writes to the FIFO `path`."""
    with open(told["path"], "rb") as fifo:
        fifo.read(1)
    return show_pid(environ, told)


def body_length(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Report how many bytes the body has, read to its end."""
    return _json({"length": sum(len(piece) for piece in _pieces(environ))})


def echo(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    return Page([b"".join(_pieces(environ))], "application/octet-stream")


def _pieces(environ: WSGIEnvironment) -> Iterator[bytes]:
    stream: InputStream = environ["wsgi.input"]
    left = int(environ.get("CONTENT_LENGTH") or 0)
    if "HTTP_TRANSFER_ENCODING" in environ or environ.get("wsgi.input_terminated"):
        left = sys.maxsize
    while left and (piece := stream.read(min(left, PIECE))):
        left -= len(piece)
        yield piece


def fail(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    raise RuntimeError("this path always fails")


def stream(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Send `pieces` numbered lines one by one, of unknown length together."""
    return Page(f"{number}\n".encode() for number in range(int(told["pieces"])))


def large(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Send `bytes` bytes in one piece."""
    return Page([b"x" * int(told["bytes"])])


def give_file(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Send the file `path`, as the server sends files."""
    wrapper: Callable[[object], Iterable[bytes]] = environ["wsgi.file_wrapper"]
    return Page(wrapper(open(told["path"], "rb")))


def write_file(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Make the file `path`, with whatever mode the umask leaves."""
    os.close(os.open(told["path"], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return show_pid(environ, told)


def allocate(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Take `bytes` bytes of memory for as long as the process lives."""
    _held.append(b"\1" * int(told["bytes"]))
    return show_pid(environ, told)


def say(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Write `text` to wsgi.errors."""
    environ["wsgi.errors"].write(f"{told['text']}\n")
    environ["wsgi.errors"].flush()
    return show_pid(environ, told)


def start_daemon(environ: WSGIEnvironment, told: Mapping[str, str]) -> Page:
    """Leave a process behind that outlives the server, with every descriptor that a program may inherit."""
    import subprocess

    process = subprocess.Popen(["sleep", "600"], close_fds=False, start_new_session=True)
    return _json({"daemon": process.pid})


_held: list[bytes] = []

PAGES: Mapping[str, Callable[[WSGIEnvironment, Mapping[str, str]], Page]] = {
    "/": show_pid,
    "/process": show_process,
    "/environ": show_environ,
    "/sleep": sleep,
    "/hold": hold,
    "/length": body_length,
    "/echo": echo,
    "/fail": fail,
    "/stream": stream,
    "/large": large,
    "/given": give_file,
    "/file": write_file,
    "/allocate": allocate,
    "/say": say,
    "/daemon": start_daemon,
}


class Tagged:
    """A middleware of the kit: adds a header, and writes to a file when its answer is closed."""

    def __init__(self, inner: WSGIApplication, *, tag: str, closed: str = "") -> None:
        self.inner = inner
        self.tag = tag
        self.closed = closed

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["kit.tags"] = f"{environ.get('kit.tags', '')}{self.tag}"

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
            return start_response(status, [*headers, ("X-Tag", self.tag)], *rest)

        return Closing(self.inner(environ, start), self)


class Closing:
    """The body of an answer that went through `Tagged`."""

    def __init__(self, body: Iterable[bytes], middleware: Tagged) -> None:
        self.body = body
        self.middleware = middleware

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def close(self) -> None:
        close: Callable[[], object] | None = getattr(self.body, "close", None)
        if close is not None:
            close()
        if self.middleware.closed:
            with open(self.middleware.closed, "a") as file:
                file.write(f"{self.middleware.tag}\n")
