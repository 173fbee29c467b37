"""Heads of HTTP/1.1 requests, read strictly. Source: RFC 9110, RFC 9112."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

MAX_HEADERS = 100

CHUNKED = -1
"""Length of a body that says its length as it comes."""

REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Z-]+) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


class Refusal(Exception):
    """A request that is answered without the application."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class Head(NamedTuple):
    """The request line and the headers."""

    method: str
    target: str
    version: tuple[int, int]
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, values without the space around them, in their order."""

    def values(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known == name]

    def tokens(self, name: str) -> list[str]:
        """Return the comma-separated words of a header, in lower case."""
        words = [word.strip(" \t").lower() for value in self.values(name) for word in value.split(",")]
        return [word for word in words if word]

    @property
    def keep_alive(self) -> bool:
        """Whether the client would send another request on this connection."""
        words = self.tokens("connection")
        return "close" not in words and (self.version >= (1, 1) or "keep-alive" in words)

    @property
    def expects_continue(self) -> bool:
        return self.version >= (1, 1) and "100-continue" in self.tokens("expect")


def bad(reason: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, reason)


def parse_head(lines: Iterable[bytes]) -> Head:
    """Read the lines of a head, without their ends and without the empty one. Raises Refusal."""
    first, *rest = lines
    found = REQUEST_LINE.fullmatch(first)
    if found is None:
        raise bad("malformed request line")
    version = (int(found[3]), int(found[4]))
    if version[0] != 1:
        raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1 is spoken here")
    if len(rest) > MAX_HEADERS:
        raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_HEADERS} headers")
    head = Head(found[1].decode(), found[2].decode(), version, tuple(parse_header(line) for line in rest))
    if len(head.values("host")) > 1:
        raise bad("more than one Host")
    return head


def parse_header(line: bytes) -> tuple[str, str]:
    """Read `Name: value`. Folded lines are refused, as is any space before the colon."""
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t")
    if not colon or not NAME.fullmatch(name) or CONTROL.search(value):
        raise bad("malformed header")
    return name.decode().lower(), value.decode("latin-1")


def body_length(head: Head) -> int:
    """Return the bytes of the body, or CHUNKED. Raises Refusal where two readers could disagree about it."""
    codings, lengths = head.tokens("transfer-encoding"), head.values("content-length")
    if head.values("transfer-encoding"):
        if head.version < (1, 1) or lengths:
            raise bad("Transfer-Encoding where it may not be")
        if codings != ["chunked"]:
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "only chunked is known as Transfer-Encoding")
        return CHUNKED
    if not lengths:
        return 0
    if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
        raise bad("malformed Content-Length")
    if len(lengths[0]) > 18:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "longer than any file")
    return int(lengths[0])


def chunk_size(line: bytes) -> int:
    """Read the line before a chunk; extensions are ignored. Raises Refusal."""
    size = line.partition(b";")[0].rstrip(b" \t")
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
        raise bad("malformed chunk")
    return int(size, 16)


def cgi_variables(head: Head) -> dict[str, str]:
    """Return what the head says, as PEP 3333 spells it. Raises Refusal for a target that is no path."""
    target = ABSOLUTE.sub("", head.target, count=1)
    path, _, query = target.partition("#")[0].partition("?")
    if target != head.target and not path:
        path = "/"
    if not path.startswith("/") and (head.method, path) != ("OPTIONS", "*"):
        raise bad("the target is no path")
    if path.startswith("//"):
        # `//host/` in a redirect to PATH_INFO would be another site. The standard library's server does the same.
        path = "/" + path.lstrip("/")
    variables = {
        "REQUEST_METHOD": head.method,
        "REQUEST_URI": head.target,
        "SERVER_PROTOCOL": f"HTTP/{head.version[0]}.{head.version[1]}",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
    }
    for name, value in head.headers:
        if "_" in name:
            continue  # X_Name and X-Name would become one
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        elif key in variables:
            raise bad(f"more than one {name}")
        if key in variables:
            value = f"{variables[key]}{'; ' if name == 'cookie' else ', '}{value}"
        variables[key] = value
    return variables
