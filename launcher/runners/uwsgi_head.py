"""Heads of requests, where uWSGI takes what others refuse, or reads it otherwise."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ..middleware.body_limit import BAD_REQUEST, TOO_LARGE
from .http_head import MAX_HEADERS, Refusal, bad, check_hosts, decoded, parse_request_line, split_target

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

TOO_LONG = "414 URI Too Long"
TOO_MANY = "431 Request Header Fields Too Large"
HEADERS = ("HTTP_", "CONTENT_")
FEW = 100
"""Variables, the server's own among them, that cannot be too many headers."""
LONGEST_LENGTH = 18
"""Digits of a Content-Length that anybody could mean; Python reads no more than 4300."""
REMEMBERED = 256
"""Request lines, with what was made of them: clients can make up any number of them, and of long ones."""

COOKIES = re.compile(r", (?=[!#$%&'*+.^_`|~0-9A-Za-z-]+=)")
"""What uWSGI 2.0.30 puts between two headers; within one it is hardly ever found before a name."""


def settle(environ: WSGIEnvironment, length: str, max_line: int, *, path: bool) -> str:
    """Mend the variables; return the status of a refusal, empty where there is none.

    With `path` those of the target too: uWSGI 2.0.30 takes a URL for a path, resolves `/../`, and reads `%zz` as NUL.
    Where it has no room for the query string it goes on without, and says so in its log.
    """
    if length != "0" and not (length.isdecimal() and len(length) <= LONGEST_LENGTH):
        return TOO_LARGE if length.isdecimal() else BAD_REQUEST
    get = environ.get
    uri = get("REQUEST_URI", "")
    size, refusal, target = read(get("REQUEST_METHOD"), uri, get("SERVER_PROTOCOL"), get("HTTP_HOST"))
    if size > max_line or ("?" in uri and not get("QUERY_STRING") and uri[-1] != "?"):
        return TOO_LONG
    if refusal:
        return refusal
    if target and path and not get("SCRIPT_NAME"):
        environ |= target
    cookie = get("HTTP_COOKIE")
    if cookie and ", " in cookie:
        environ["HTTP_COOKIE"] = COOKIES.sub("; ", cookie)
    return TOO_MANY if len(environ) > FEW and _has_too_many_headers(environ) else ""


@lru_cache(REMEMBERED)
def read(method: str | None, uri: str, protocol: str | None, host: str | None) -> tuple[int, str, dict[str, str]]:
    """Return how long the request line is, the status of a refusal, and the variables that uWSGI has wrong."""
    line = f"{method} {uri} {protocol}".encode("latin-1")
    try:
        _, _, version = parse_request_line(line)
        # No host has a comma: uWSGI puts it between two headers.
        check_hosts(0 if host is None else 1 + host.count(","), version)
        if host and not host.isprintable():
            raise bad("malformed Host")
        target = split_target(method or "", uri)
    except Refusal as refusal:
        return len(line), f"{refusal.status} {refusal.status.phrase}", {}
    if uri.partition("?")[0] == target.path and not ("%" in uri or "/." in uri or "#" in uri):
        return len(line), "", {}
    named = {"HTTP_HOST": target.host} if target.host else {}
    return len(line), "", {"PATH_INFO": decoded(target.path), "QUERY_STRING": target.query, **named}


def _has_too_many_headers(environ: WSGIEnvironment) -> bool:
    return sum(name.startswith(HEADERS) for name in environ) > MAX_HEADERS
