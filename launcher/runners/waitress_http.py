"""Requests and answers of waitress, where 3.0.2 takes and gives what others do not."""

# waitress 3.0.2 ships no types.
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]
from waitress.buffers import OverflowableBuffer  # type: ignore[import-untyped]
from waitress.parser import HTTPRequestParser  # type: ignore[import-untyped]
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver  # type: ignore[import-untyped]
from waitress.task import WSGITask  # type: ignore[import-untyped]
from waitress.utilities import RequestEntityTooLarge  # type: ignore[import-untyped]

from .http_head import CHUNKED, Refusal, body_length, decoded, header_variables, parse_head, split_target, too_long

NOBODYS_LIMIT = Adjustments.max_request_body_size
"""Of a body, where there is no option, and so no layer."""


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """A request, whose head the reader of our runner of wsgiref reads: what is refused there is here too."""

    error: object

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge) and self.adj.max_request_body_size != NOBODYS_LIMIT:
            # The layer in the application sees by the length that it is too long. It refuses and logs the request.
            self.error = None
            self.expect_continue = False
            self.headers["CONTENT_LENGTH"] = str(self.content_length or self.body_bytes_received)
            self.headers["CONNECTION"] = "close"
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        try:
            self._read(header_plus)
        except Refusal as refusal:
            self.error, self.version = Refused(refusal), "1.1"

    def _read(self, data: bytes) -> None:
        lines = [line for line in data.split(b"\r\n") if line]
        if len(lines[0]) > self.adj.max_request_line:
            raise too_long(self.adj.max_request_line)
        head = parse_head(lines)
        target = split_target(head.method, head.target)
        headers = {name.removeprefix("HTTP_"): value for name, value in header_variables(head).items()}
        if target.host:
            headers["HOST"] = target.host
        length = body_length(head)
        self.command, self.request_uri, self.headers = head.method, head.target, headers
        self.path, self.query = decoded(target.path), target.query
        self.version = "1.1" if head.version > (1, 0) else "1.0"
        self.url_scheme = self.adj.url_scheme
        self.connection_close = not head.keep_alive
        self.expect_continue = bool(length) and head.expects_continue
        self.chunked = length == CHUNKED
        if self.chunked:
            del headers["TRANSFER_ENCODING"]
            self.body_rcv = ChunkedReceiver(OverflowableBuffer(self.adj.inbuf_overflow))
        elif length:
            self.content_length = length
            self.body_rcv = FixedStreamReceiver(length, OverflowableBuffer(self.adj.inbuf_overflow))


class Refused:
    """What waitress is to answer instead of the application."""

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal

    def to_response(self, ident: str) -> tuple[str, list[tuple[str, str]], bytes]:
        status = self._refusal.status
        text = f"{status.phrase}: {self._refusal.reason}\n"
        return f"{status} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")], text.encode()


class Task(WSGITask):  # type: ignore[misc]
    """An answer that says so if it is the last one on its connection."""

    def execute(self) -> None:
        try:
            super().execute()
        except (SystemExit, KeyboardInterrupt) as error:
            # waitress 3.0.2 lets these pass by, and the client without an answer.
            raise RuntimeError(f"the application raised {error!r}") from error

    def finish(self) -> None:
        if self.request.command == "HEAD":
            self.write(b"")  # the header, if it is not written yet
            self.chunked_response = False  # there are no chunks to end
        super().finish()

    def build_response_header(self) -> bytes:
        limits = self.channel.server.limits
        # Requests that were read already are answered even while we stop.
        if not limits.keepalive or (limits.draining and len(self.channel.requests) == 1):
            self.request.headers["CONNECTION"] = "close"
        head: bytes = super().build_response_header()
        return head
