"""Heads of requests, where gunicorn 27.0.1 takes what it had to refuse, or reads it otherwise than the others do."""

from gunicorn.http import Request
from gunicorn.http.errors import InvalidHeader, InvalidRequestLine

from .http_head import Refusal, join, split_target


def settle(request: Request) -> None:
    """Join headers that came twice, and make a path of the target. Raises what gunicorn answers 400 to."""
    uri, version = request.uri, request.version
    assert uri
    assert version
    headers = dict(request.headers)
    if "HOST" not in headers and version > (1, 0):
        raise InvalidHeader("HOST", req=request)
    if len(headers) < len(request.headers):
        _join(request)
    if uri[0] != "/" or uri[1:2] == "/":
        _find_path(request, uri)


def _join(request: Request) -> None:
    if request.should_close():
        request.force_close()  # it would find no `close` among other words
    joined: dict[str, str] = {}
    for name, value in request.headers:
        joined[name] = join(name, joined[name], value) if name in joined else value
    request.headers = list(joined.items())


def _find_path(request: Request, uri: str) -> None:
    try:
        target = split_target(request.method or "", uri)
    except Refusal as refusal:
        raise InvalidRequestLine(uri) from refusal
    request.path = target.path
    if target.host:
        request.headers = [("HOST", target.host), *(header for header in request.headers if header[0] != "HOST")]
