"""Check requests and answers against PEP 3333, by wsgiref's validator."""

from __future__ import annotations

from typing import TYPE_CHECKING
from wsgiref import validate as wsgiref

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def validate(app: WSGIApplication) -> WSGIApplication:
    """Raise AssertionError where server or `app` break PEP 3333, and only there.

    What the validator (Python 3.11 to 3.14) has against legal applications is taken out of it.
    """
    # Content-Type is HTTP's affair: it may be absent, and stand with 204 (RFC 9110, 8.3).
    wsgiref.check_content_type = _any_content_type  # type: ignore[attr-defined]  # typeshed leaves it out
    # PEP 3333 has servers allow read() without a size.
    wsgiref.InputWrapper.read = _read  # type: ignore[method-assign,assignment]  # it takes more
    watched = wsgiref.validator(app)

    def validated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # The validator iterates over what a file_wrapper made; with uWSGI 2.0.30 that is the file, which gives lines.
        wrapper = environ.pop("wsgi.file_wrapper", None)
        try:
            return watched(environ, start_response)
        finally:
            if wrapper is not None:
                environ["wsgi.file_wrapper"] = wrapper  # gunicorn 27.0.1 looks there for its own

    return validated


def _any_content_type(status: str, headers: list[tuple[str, str]]) -> None:
    pass


def _read(wrapper: wsgiref.InputWrapper, *size: int) -> bytes:
    data = wrapper.input.read(*size)
    if type(data) is not bytes:
        raise AssertionError(f"wsgi.input.read() returned {type(data).__name__}")
    return data
