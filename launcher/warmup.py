"""The requests that a worker asks itself for before it counts as ready."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .application import ApplicationError, Spec, Step, at, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import WSGIApplication, WSGIEnvironment


def warm_up(app: WSGIApplication, paths: Iterable[str], spec: Spec) -> None:
    """Ask for each path once. Raises ApplicationError where one is not answered, or with a status from 400 on."""
    for path in paths:
        with _raised_in_django() as raised:
            status = run(Step(f"the warm-up request for {path} failed", spec.warmup_origin, spec), ask, app, path, spec)
        if status[:1] not in ("1", "2", "3"):
            answered = f"the warm-up request for {path} was answered {status or 'without a status'}"
            if raised:
                from . import user_code

                raise user_code.failure(Step(answered, spec.warmup_origin, spec), raised[-1])
            raise ApplicationError(at(spec.warmup_origin, f"{answered}."))
    close_connections()


@contextmanager
def _raised_in_django() -> Iterator[list[BaseException]]:
    """Gather what Django answers with 500, and in production tells by mail alone."""
    raised: list[BaseException] = []

    def note(**_: object) -> None:
        if error := sys.exc_info()[1]:
            raised.append(error)

    signal: Any = getattr(sys.modules.get("django.core.signals"), "got_request_exception", None)
    if signal is not None:
        signal.connect(note)
    try:
        yield raised
    finally:
        if signal is not None:
            signal.disconnect(note)


def ask(app: WSGIApplication, path: str, spec: Spec) -> str:
    """Ask for one path, read the whole answer, and return its status."""
    said: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], error: object = None, /) -> Any:
        said[:] = [status]
        return lambda data: None

    answer = app(request(path, spec), start_response)
    try:
        for _ in answer:
            pass
    finally:
        if hasattr(answer, "close"):
            answer.close()
    return said[0] if said else ""


def request(path: str, spec: Spec) -> WSGIEnvironment:
    """Return the environ of a GET request, from this machine and for a host that the site allows."""
    path, _, query = path.partition("?")
    host, secure = _django_wants()
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": spec.url_prefix,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": "443" if secure else "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": host,
        "HTTP_USER_AGENT": "serve/warm-up",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if secure else "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _django_wants() -> tuple[str, bool]:
    """Return a host that Django's settings allow, and whether they redirect plain HTTP."""
    settings: Any = getattr(sys.modules.get("django.conf"), "settings", None)
    if settings is None or not settings.configured:
        return "localhost", False
    hosts = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return (hosts or ["localhost"])[0], bool(settings.SECURE_SSL_REDIRECT)


def close_connections() -> None:
    """Close what the requests opened: with `preload` this process is going to be forked."""
    connections: Any = getattr(sys.modules.get("django.db"), "connections", None)
    if connections is not None:
        connections.close_all()
