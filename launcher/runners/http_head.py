"""Heads of HTTP/1.1 requests, read strictly. Source: RFC 9110, RFC 9112."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

MAX_HEADERS = 100

CHUNKED = -1
"""Length of a body that says its length as it comes."""

METHOD = r"[!$%&'*+.^_`|~0-9A-Z-]{3,20}"
"""What gunicorn 27.0.1 takes for one: no method is registered that is none."""
REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])" % METHOD.encode())
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
TARGET = re.compile(r"(?:https?://([^/?#@]+))?([^?#]*)\??([^#]*)", re.IGNORECASE)


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


def too_long(limit: int) -> Refusal:
    return Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, f"more than {limit} bytes")


def parse_head(lines: Iterable[bytes]) -> Head:
    """Read the lines of a head, without their ends and without the empty one. Raises Refusal."""
    first, *rest = lines
    method, target, version = parse_request_line(first)
    if len(rest) > MAX_HEADERS:
        raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_HEADERS} headers")
    head = Head(method, target, version, tuple(parse_header(line) for line in rest))
    check_hosts(len(head.values("host")), version)
    if head.tokens("expect") not in ([], ["100-continue"]):
        raise Refusal(HTTPStatus.EXPECTATION_FAILED, "only 100-continue can be expected")
    return head


def parse_request_line(line: bytes) -> tuple[str, str, tuple[int, int]]:
    """Return method, target and version. Raises Refusal."""
    found = REQUEST_LINE.fullmatch(line)
    if found is None:
        raise bad("malformed request line")
    version = (int(found[3]), int(found[4]))
    if version[0] != 1:
        raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1 is spoken here")
    return found[1].decode(), found[2].decode(), version


def check_hosts(count: int, version: tuple[int, int]) -> None:
    """Raise Refusal unless the request says once for which site it is. Source: RFC 9112, 3.2."""
    if count > 1 or (not count and version > (1, 0)):
        raise bad(f"{count or 'no'} Host headers")


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


class Target(NamedTuple):
    """What is asked for."""

    path: str
    """Not decoded yet."""
    query: str
    host: str
    """Empty where the target is no URL: else it counts, not the header (RFC 9112, 3.3)."""


def split_target(method: str, text: str) -> Target:
    """Read the target of a request. Raises Refusal for one that is no path."""
    found = TARGET.match(text)
    assert found is not None  # each part may be empty
    host, path, query = found[1] or "", found[2], found[3]
    if host and not path:
        path = "/"
    if not path.startswith("/") and (method, path) != ("OPTIONS", "*"):
        raise bad("the target is no path")
    if path.startswith("//"):
        # `//host/` in a redirect to PATH_INFO would be another site. The standard library's server does the same.
        path = "/" + path.lstrip("/")
    return Target(path, query, host)


def decoded(path: str) -> str:
    """Return a path as PATH_INFO has it."""
    return unquote_to_bytes(path).decode("latin-1")


def join(name: str, before: str, value: str) -> str:
    """Return what a header says that came twice. Source: RFC 9110, 5.3; for cookies, RFC 9113, 8.2.3."""
    return f"{before}{'; ' if name.lower() == 'cookie' else ', '}{value}"


def cgi_variables(head: Head) -> dict[str, str]:
    """Return what the head says, as PEP 3333 spells it. Raises Refusal for a target that is no path."""
    target = split_target(head.method, head.target)
    variables = {
        "REQUEST_METHOD": head.method,
        "REQUEST_URI": head.target,
        "SERVER_PROTOCOL": f"HTTP/{head.version[0]}.{head.version[1]}",
        "SCRIPT_NAME": "",
        "PATH_INFO": decoded(target.path),
        "QUERY_STRING": target.query,
        **header_variables(head),
    }
    if target.host:
        variables["HTTP_HOST"] = target.host
    return variables


def header_variables(head: Head) -> dict[str, str]:
    """Return what the headers say, as PEP 3333 spells it. Raises Refusal."""
    variables: dict[str, str] = {}
    for name, value in head.headers:
        if "_" in name:
            continue  # X_Name and X-Name would become one
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        elif key in variables:
            raise bad(f"more than one {name}")
        variables[key] = join(name, variables[key], value) if key in variables else value
    return variables
