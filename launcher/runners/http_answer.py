"""Answers of a WSGI application over HTTP/1.1, on top of the standard library's handler.

wsgiref (CPython 3.11) speaks HTTP/1.0, sends a body where there may be none, lets an application split headers,
writes its own headers into the application's list, and takes any broken connection, be it to a database, for the
client's.
"""

import logging
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import IO, Any, cast
from wsgiref.handlers import SimpleHandler
from wsgiref.headers import Headers
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.util import is_hop_by_hop

from .http_head import Head
from .http_stream import BodyTooLong, ClientGone, ClientStalled, ClientStream

logger = logging.getLogger("launcher.runner")

STATUS = re.compile(r"[1-9][0-9]{2} [^\x00-\x08\x0a-\x1f\x7f]*")
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


class Answer(SimpleHandler):
    """Calls the application once, sends what it answers, and knows what became of the connection."""

    # What wsgiref keeps its state in; typeshed leaves it out.
    environ: WSGIEnvironment
    status: str | None
    headers: Headers | None
    headers_sent: bool
    bytes_sent: int

    http_version = "1.1"
    os_environ: dict[str, str] = {}  # the process's variables are nothing that a client said
    server_software = None

    def __init__(
        self,
        stream: ClientStream,
        head: Head,
        body: IO[bytes],
        variables: dict[str, Any],
        may_keep_alive: Callable[[], bool],
    ) -> None:
        super().__init__(body, cast(IO[bytes], stream), sys.stderr, variables)
        self.keep_alive = False
        """Whether the answer is complete and the client knows that another may follow."""
        self._head = head
        self._may_keep_alive = may_keep_alive
        self._begun = False
        self._with_body = True
        self._chunked = False
        self._left: int | None = None
        """Bytes that Content-Length still promises; None where it promises none."""

    def run(self, application: WSGIApplication) -> None:
        """Never raises: what the application raises is logged, and answered with 500 while that is possible."""
        try:
            self.setup_environ()
            self.result = application(self.environ, self.start_response)
            self.finish_response()
        except ClientStalled:
            self._may_keep_alive = lambda: False
            self._instead(HTTPStatus.REQUEST_TIMEOUT)
        except BodyTooLong:
            self._instead(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except ClientGone:
            self.keep_alive = False
        except BaseException:
            logger.exception("%s %s failed", self._head.method, self._head.target)
            self._instead(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _instead(self, status: HTTPStatus) -> None:
        """Answer in the place of the application, which has just raised, unless it has begun to."""
        self.keep_alive = False
        if self._begun:
            return
        self.error_status = f"{status} {status.phrase}"
        self.error_body = f"{status.phrase}\n".encode()
        try:
            self.result = self.error_output(self.environ, self.start_response)
            self.finish_response()
        except ClientGone:
            self.keep_alive = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        try:
            if exc_info and self._begun:
                raise exc_info[1]
            check_head(status, headers)
            # A copy: the list is the application's.
            return super().start_response(status, list(headers), exc_info)
        finally:
            exc_info = None  # it holds this frame

    def send_headers(self) -> None:
        self._begun = True
        super().send_headers()

    def cleanup_headers(self) -> None:
        """Decide how the client finds the end of the answer. Source: RFC 9112, section 6.3."""
        assert self.headers is not None
        head_only, modern = self._head.method == "HEAD", self._head.version >= (1, 1)
        bodyless = self._bodyless()
        if bodyless and self._code() != HTTPStatus.NOT_MODIFIED:
            del self.headers["Content-Length"]
        elif "Content-Length" not in self.headers and not bodyless and (self.bytes_sent or not head_only):
            self.set_content_length()
        length = self.headers.get("Content-Length")
        self._with_body = not bodyless and not head_only
        if self._with_body and length is not None:
            self._left = int(length)
        self._chunked = self._with_body and length is None and modern
        known_end = not self._with_body or self._chunked or length is not None
        self.keep_alive = known_end and self._code() >= HTTPStatus.OK and self._may_keep_alive()
        if self._chunked:
            self.headers["Transfer-Encoding"] = "chunked"
        if not self.keep_alive:
            self.headers["Connection"] = "close"
        elif not modern:
            self.headers["Connection"] = "keep-alive"

    def _code(self) -> int:
        return int((self.status or "0")[:3])

    def _bodyless(self) -> bool:
        return self._code() < HTTPStatus.OK or self._code() in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"the application answered {type(data).__name__} instead of bytes")
        if not self.status:
            raise RuntimeError("write() before start_response()")
        if not data:
            return
        self.bytes_sent += len(data)
        if not self.headers_sent:
            self.send_headers()
        if self._with_body:
            self._write_body(data)
        self._flush()

    def _write_body(self, data: bytes) -> None:
        if self._left is not None:
            if len(data) > self._left:
                logger.warning("%s: more bytes than Content-Length says are left out", self._head.target)
                data = data[: self._left]
            self._left -= len(data)
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def finish_content(self) -> None:
        if self.headers is None:
            raise RuntimeError("the application returned without a call of start_response()")
        if not self.headers_sent:
            if not self._bodyless() and self._head.method != "HEAD":
                self.headers.setdefault("Content-Length", "0")
            self.send_headers()
        if self._chunked:
            self._write(b"0\r\n\r\n")
        if self._left:
            logger.warning("%s: fewer bytes than Content-Length says", self._head.target)
            self.keep_alive = False
        self._flush()

    def log_exception(self, exc_info: Any) -> None:
        """Nothing more to say: `run` has."""


def check_head(status: str, headers: list[tuple[str, str]]) -> None:
    """Raise ValueError or TypeError for a head that would not arrive as the application means it."""
    if not isinstance(status, str):
        raise TypeError(f"status is {type(status).__name__} instead of str")
    if not STATUS.fullmatch(status):
        raise ValueError(f"status {status!r} is not three digits, a space and a phrase")
    status.encode("latin-1")
    lengths = 0
    for name, value in headers:
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(f"header {name!r}: {value!r} is not str")
        if not (NAME.fullmatch(name) and VALUE.fullmatch(value)):
            raise ValueError(f"header {name!r}: {value!r} has characters that may not be there")
        value.encode("latin-1")
        if is_hop_by_hop(name):
            raise ValueError(f"header {name} is the server's own affair (PEP 3333)")
        if name.lower() == "content-length":
            lengths += 1
            if not (value.isascii() and value.isdigit()) or lengths > 1:
                raise ValueError(f"Content-Length {value!r} cannot be one")
