"""What a browser sees while the project cannot be loaded: the failure, until a saved file mends it."""

from __future__ import annotations

import os
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from ..application import ApplicationError, read_spec
from ..middleware.live import refresh_pages
from .channel import FAILURE, VARIABLE, Channel
from .events import Events
from .traceback_text import excerpt, innermost, parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from .traceback_text import Part

STATUS = "500 Internal Server Error"
STREAMS = 4
"""Of the eight threads that wsgiref has."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'"

STYLE = """
:root { color-scheme: light dark; --back: #fff; --fore: #1d1d1f; --dim: #6e6e73; --mark: #c02626; --own: #fff3d6; }
@media (prefers-color-scheme: dark) {
  :root { --back: #1b1b1e; --fore: #ececf0; --dim: #96969e; --mark: #ff7b72; --own: #3a3116; }
}
body { margin: 2rem auto; max-width: 64rem; padding: 0 1rem; background: var(--back); color: var(--fore);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.25rem; color: var(--mark); white-space: pre-wrap; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin-bottom: .25rem; overflow-wrap: anywhere; }
pre { margin: 0; padding: .75rem 0; overflow-x: auto; font: .875rem/1.5 ui-monospace, monospace; }
pre span { display: block; padding: 0 .75rem; width: max-content; min-width: 100%; box-sizing: border-box; }
.other, footer { color: var(--dim); }
.own, .here { background: var(--own); }
.own::first-line, .here { font-weight: bold; }
footer { margin-top: 2rem; }
@media (scripting: none) { footer { display: none; } }
"""


ELSEWHERE = {
    "message": "The application cannot be loaded. The terminal says why; so does this page, asked for by address or as "
    "localhost.",
    "trace": "",
}
"""Under any other name it may be a stranger's page that asks: his name server can point at this machine, and the
browser would let him read the answer. Django's own page is guarded by ALLOWED_HOSTS."""


def is_local(host: str) -> bool:
    """Return whether a Host header is an address, a name without a dot, below localhost, or absent."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    last = name.rstrip(".").rpartition(".")[2].lower()
    return "." not in name or last == "localhost" or last.isdigit() or name.startswith("[")


class Failure:
    """The failure that was told last."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._stamp = 0
        self._facts: Mapping[str, Any] = {"message": "The application cannot be loaded.", "trace": ""}

    def state(self) -> str:
        """Return what stands for this failure, and for no server that works."""
        try:
            self._stamp = os.stat(os.path.join(self._channel.directory, FAILURE)).st_mtime_ns
        except OSError:
            pass  # the next start has begun, and whatever comes of it comes from another process
        return f"failure-{self._stamp}"

    def facts(self) -> Mapping[str, Any]:
        self._facts = self._channel.hear(FAILURE) or self._facts
        return self._facts

    def show(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer 500 to whatever is asked: as a page to browsers, as text to all others."""
        facts = self.facts() if is_local(environ.get("HTTP_HOST", "")) else ELSEWHERE
        if "text/html" in environ.get("HTTP_ACCEPT", ""):
            kind, text = "text/html", page(facts, refreshes=environ["REQUEST_METHOD"] in ("GET", "HEAD"))
        else:
            kind, text = "text/plain", f"{facts['message']}\n\n{facts['trace']}".rstrip() + "\n"
        body = text.encode("utf-8", "replace")
        headers = [
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
        ]
        start_response(STATUS, headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def page(facts: Mapping[str, Any], *, refreshes: bool) -> str:
    """Return the failure as HTML that needs nothing from anywhere else."""
    message, trace = str(facts["message"]), parts(str(facts["trace"]))
    body = [f"<h1>{escape(message)}</h1>"]
    if nearest := innermost(trace):
        body += _source(nearest)
    if trace:
        body += ["<h2>Traceback</h2>", f"<pre>{''.join(_shown(part) for part in trace)}</pre>"]
    if refreshes:
        body.append("<footer>This page loads itself anew once a saved file makes a difference.</footer>")
    title = escape(message.partition("\n")[0])
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _source(part: Part) -> list[str]:
    lines = [
        f"<span{' class=here' if number == part.number else ''}>{number:4}  {escape(line)}</span>"
        for number, line in excerpt(part)
    ]
    heading = escape(part.lines[0].strip())
    return [f"<h2>{heading}</h2>", f"<pre>{''.join(lines)}</pre>"] if lines else []


def _shown(part: Part) -> str:
    kind = ("own" if part.own else "other") if part.file else "between"
    return f'<span class="{kind}">{escape(chr(10).join(part.lines)) or " "}</span>'


@cache
def _application() -> WSGIApplication:
    try:
        prefix = read_spec(os.environ).url_prefix
    except ApplicationError:
        prefix = ""  # nobody has said what should be served
    failure = Failure(Channel(os.environ[VARIABLE]))
    return refresh_pages(failure.show, Events(failure.state, STREAMS), prefix, mark=True)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Show the failure that is told in the channel which `VARIABLE` names."""
    return _application()(environ, start_response)
