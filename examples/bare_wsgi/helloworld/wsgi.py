"""The middleware: an application around another one."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

GREETING = b"Hello, world!\n"


class HelloWorldApplication:
    """Answer `/hello`; leave everything else to `app`."""

    path = "/hello"

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != self.path or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            # Handed back as it is, not iterated: the server calls close() on the very object that `app` made.
            return self.app(environ, start_response)
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(GREETING)))]
        start_response("200 OK", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [GREETING]
