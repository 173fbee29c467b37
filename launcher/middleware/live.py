"""Have pages in the browser load anew when something that made them was edited."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .access_log import is_file, is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import TypeAlias
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from ..develop.events import Events

    ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None

OURS = "/-serve/"

SHOWN = ("document", "iframe", "frame")
"""What Sec-Fetch-Dest says of a page, rather than of a part of one or of what a script asks for."""
REMOVED = ("HTTP_ACCEPT_ENCODING", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_RANGE")
"""What makes of a page something that nothing can be added to; out of a cache, one in an old state."""

POLICY = "content-security-policy"
SCRIPTS = ("script-src-elem", "script-src", "default-src")
"""The first of them that a policy has is what a script's element has to meet. Source: CSP Level 3, 6.8."""
NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_=-]+)'")


def refresh_pages(app: WSGIApplication, events: Events, prefix: str, *, mark: bool) -> WSGIApplication:
    """Answer the paths of `events` below `prefix`, and with `mark` add the script to each page that is asked for.

    Answers that are no HTML, and those that no page is shown from, are the application's own.
    """
    mount = prefix.rstrip("/").encode().decode("latin-1")
    ours, length = mount + OURS, len(mount)

    def refreshing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(ours):
            told = events.answer(path[length:], environ, start_response)
            if told is not None:
                return told
        if not (mark and _may_be_page(environ)):
            return app(environ, start_response)
        for name in REMOVED:
            environ.pop(name, None)
        tag = events.tag(environ.get("SCRIPT_NAME", "") + mount)
        return Page(environ, start_response, tag).run(app)

    return refreshing


def _may_be_page(environ: WSGIEnvironment) -> bool:
    """Whether a browser would show the answer, and could load it anew without sending a form once more."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return False
    # Left out where neither TLS nor this very machine makes the connection a safe one.
    if shown_as := environ.get("HTTP_SEC_FETCH_DEST"):
        return shown_as in SHOWN
    return "text/html" in environ.get("HTTP_ACCEPT", "text/html")


class Page:
    """One exchange; holds the head of HTML back until it is known whether the server is given a file to send."""

    __slots__ = ("_adds", "_begun", "_environ", "_head", "_head_only", "_result", "_start_response", "_tag", "_write")

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse, tag: bytes) -> None:
        self._environ = environ
        self._head_only = environ["REQUEST_METHOD"] == "HEAD"  # what is inside may make it GET
        self._start_response = start_response
        self._tag = tag
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        self._adds = False
        """Whether this is a page, and gets the tag."""
        self._begun = False
        """Whether the server has the head."""
        self._result: Iterable[bytes] = ()

    def run(self, app: WSGIApplication) -> Iterable[bytes]:
        self._result = result = app(self._environ, self._start)
        if not self._begun and is_file(result, self._environ.get("wsgi.file_wrapper")):
            self._adds = False
        try:
            self._begin()
        except BaseException:
            self.close()  # the server has nothing yet that it could close
            raise
        return result if self._begun and not self._adds else self

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo = None, /
    ) -> Callable[[bytes], object]:
        if self._head and not exc_info:
            self._begin()  # the server knows what to say to a second call
        if self._begun:
            self._adds = False
            if exc_info:
                return self._start_response(status, headers, exc_info)
            return self._start_response(status, headers)
        self._head = status, headers
        self._adds = is_page(status, headers)
        if not self._adds:
            self._begin()
        return self._write_out

    def _begin(self) -> None:
        if self._head and not self._begun:
            self._begun = True
            status, headers = self._head
            if self._adds and (nonce := nonce_of(headers)):
                self._tag = self._tag.replace(b"<script ", f'<script nonce="{nonce}" '.encode(), 1)
            self._write = self._start_response(status, self._lengthened(headers) if self._adds else headers)

    def _lengthened(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [
            (name, str(int(value) + len(self._tag)) if name.lower() == "content-length" and is_number(value) else value)
            for name, value in headers
        ]

    def _write_out(self, data: bytes) -> None:
        self._begin()
        self._write(data)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._result:
            self._begin()
            yield chunk
        self._begin()
        if self._adds and not self._head_only:
            yield self._tag

    def close(self) -> None:
        close = getattr(self._result, "close", None)
        if close is not None:
            close()


def is_page(status: str, headers: Iterable[tuple[str, str]]) -> bool:
    """Whether an answer is HTML, whole and as it is, for a browser to show."""
    if status.startswith(("1", "3", "204", "205", "206")):
        return False
    named = {name.lower(): value.lower() for name, value in headers}
    return (
        named.get("content-type", "").partition(";")[0].strip() == "text/html"
        and "content-encoding" not in named
        and not named.get("content-disposition", "").startswith("attachment")
    )


def nonce_of(headers: Iterable[tuple[str, str]]) -> str:
    """Return what a script has to show for this page to let it run; empty where it has to show nothing."""
    for policy in (value for name, value in headers if name.lower() == POLICY):
        directives = {words[0].lower(): words[1:] for part in policy.split(";") if (words := part.split())}
        sources = next((directives[name] for name in SCRIPTS if name in directives), [])
        if found := next(filter(None, map(NONCE.fullmatch, sources)), None):
            return found[1]
    return ""
