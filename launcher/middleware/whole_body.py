"""Read bodies of unknown length before the application is called."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from .answer import answer
from .body_limit import BAD_REQUEST, BodyTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

IN_MEMORY = 2**20
"""Bytes from which on a body lies in a temporary file."""
PIECE = 2**16
NOT_IMPLEMENTED = "501 Not Implemented"


def read_whole_body(app: WSGIApplication) -> WSGIApplication:
    """Have a chunked body here, and its length told, when the application is called.

    PEP 3333 has no way to say that a length is not known yet: Django 5.2 takes such a request for one without a body,
    and loses an upload with 200. waitress and our runner of wsgiref read it first by themselves.
    What a front server and this one could see different ends of is refused: a length beside chunks and chunks in
    HTTP/1.0, which uWSGI 2.0.30 lets through, and other codings, which gunicorn 27.0.1 does too.
    """

    def whole(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        coding = environ.get("HTTP_TRANSFER_ENCODING")
        if coding is None:
            return app(environ, start_response)
        if coding.strip(" \t").lower() != "chunked":
            return answer(environ, start_response, NOT_IMPLEMENTED)
        if environ.get("CONTENT_LENGTH") or environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
            return answer(environ, start_response, BAD_REQUEST)
        stream = environ["wsgi.input"]
        body = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - it lasts as long as the request
        while True:
            try:
                piece = stream.read(PIECE)
            except BodyTooLarge:
                raise
            except OSError:  # malformed, or not sent: so says uWSGI 2.0.30, and gunicorn 27.0.1 of what is not sent
                return answer(environ, start_response, BAD_REQUEST)
            except Exception:  # malformed: gunicorn 27.0.1 answers 400 itself, and the access log hears it here
                start_response(BAD_REQUEST, [])
                raise
            if not piece:
                break
            body.write(piece)  # a full disk is no fault of the client's
        del environ["HTTP_TRANSFER_ENCODING"]
        environ["CONTENT_LENGTH"] = str(body.tell())
        environ["wsgi.input"] = body
        body.seek(0)
        return app(environ, start_response)

    return whole
