"""Requests and answers of waitress, where 3.0.2 takes and gives what others do not."""

# waitress 3.0.2 ships no types.
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]
from waitress.parser import HTTPRequestParser, ParsingError  # type: ignore[import-untyped]
from waitress.task import WSGITask  # type: ignore[import-untyped]
from waitress.utilities import RequestEntityTooLarge  # type: ignore[import-untyped]

NOBODYS_LIMIT = Adjustments.max_request_body_size
"""Of a body, where there is no option, and so no layer."""


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """A request whose end a front server and we cannot see in different places."""

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
        super().parse_header(header_plus)
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length beside chunks")


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
