"""A WSGI application without a framework."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.util import FileWrapper

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Bare WSGI</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; }
  body { max-width: 36rem; margin: 14vh auto 0; padding: 0 1.25rem; font: 1.1rem/1.6 system-ui, sans-serif; }
  h1 { font-size: 2.2rem; line-height: 1.2; margin: 0; }
  li { margin: .4rem 0; }
</style>
<h1>Bare WSGI</h1>
<p>One file, no framework.</p>
<ul>
  <li><a href="whoami">whoami</a>: what the server told the application</li>
  <li><a href="source">source</a>: the file that made this page</li>
  <li><a href="hello">hello</a>: answered by the middleware, where there is one</li>
</ul>
"""


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer GET and HEAD for `/`, `/whoami` and `/source`."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return answer(environ, start_response, "405 Method Not Allowed", "text/plain", "GET or HEAD only.\n")
    match environ["PATH_INFO"]:
        case "/" | "":
            return answer(environ, start_response, "200 OK", "text/html", PAGE)
        case "/whoami":
            return answer(environ, start_response, "200 OK", "application/json", whoami(environ))
        case "/source":
            return source(environ, start_response)
    return answer(environ, start_response, "404 Not Found", "text/plain", "Nothing here.\n")


def answer(
    environ: WSGIEnvironment, start_response: StartResponse, status: str, media_type: str, text: str
) -> list[bytes]:
    """A whole response; for HEAD its head alone, which not every server sees to."""
    body = text.encode()
    headers = [("Content-Type", f"{media_type}; charset=utf-8"), ("Content-Length", str(len(body)))]
    if status.startswith("405"):
        headers.append(("Allow", "GET, HEAD"))
    start_response(status, headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def whoami(environ: WSGIEnvironment) -> str:
    said = {
        "url_scheme": environ["wsgi.url_scheme"],
        "remote_addr": environ.get("REMOTE_ADDR"),
        "server_software": environ.get("SERVER_SOFTWARE"),
        "multithread": bool(environ["wsgi.multithread"]),
        "multiprocess": bool(environ["wsgi.multiprocess"]),
        "pid": os.getpid(),
    }
    return json.dumps(said, indent=2) + "\n"


def source(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """This file, sent the server's fast way where it has one."""
    path = Path(__file__)
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(path.stat().st_size)),
    ]
    start_response("200 OK", headers)
    if environ["REQUEST_METHOD"] == "HEAD":
        return []
    # The server closes what it is given, and the wrapper closes the file.
    wrap = environ.get("wsgi.file_wrapper", FileWrapper)
    return wrap(path.open("rb"))
