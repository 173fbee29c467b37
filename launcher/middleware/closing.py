"""Have Django hear that a request has ended where a middleware around it loses `close()`.

PEP 3333 has middleware call the `close()` of what it was given. Where one does not, Django's `request_finished` never
fires: database connections stay open, and whatever else waits for the signal waits for ever.
Facts: Django 5.2 sends `request_started` before it works, and `request_finished` from `close()` of its answers.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING

from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.http.response import HttpResponseBase

from ..user_code import short
from .access_log import is_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_open: ContextVar[int] = ContextVar("open", default=0)
"""How many more requests Django has begun than ended, as this thread has seen it."""


def see_to_the_end(app: WSGIApplication, name: str) -> WSGIApplication:
    """Have every request that Django began end with the answer of `app`; say once where `app` is to blame.

    `name` tells a person what `app` is. Django's own handler is returned as it is.
    """
    if isinstance(app, WSGIHandler):
        return app
    # Django keeps weak references: these are never gone.
    request_started.connect(_begin)
    request_finished.connect(_end)
    told = False

    def ended(environ: WSGIEnvironment, before: int, answer: object = None) -> None:
        nonlocal told
        if _open.get() <= before:
            return
        if not told:
            told = True
            sys.stderr.write(_report(name, environ, answer))
        request_finished.send(sender=WSGIHandler)
        _open.set(before)

    def seen(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        before = _open.get()
        try:
            answer = app(environ, start_response)
        except BaseException:
            ended(environ, before)
            raise
        if isinstance(answer, HttpResponseBase) or is_file(answer, environ.get("wsgi.file_wrapper")):
            return answer  # Django's own
        if isinstance(answer, (list, tuple)):  # whole, and without a close() that could come
            ended(environ, before, answer)
            return answer
        return Answer(answer, lambda: ended(environ, before, answer))

    return seen


class Answer:
    """An answer that tells when it was closed."""

    __slots__ = ("_answer", "_closed")

    def __init__(self, answer: Iterable[bytes], closed: Callable[[], None]) -> None:
        self._answer = answer
        self._closed = closed

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        try:
            close = getattr(self._answer, "close", None)
            if close is not None:
                close()
        finally:
            self._closed()


def _begin(**_: object) -> None:
    _open.set(_open.get() + 1)


def _end(**_: object) -> None:
    _open.set(_open.get() - 1)


def _report(name: str, environ: WSGIEnvironment, answer: object) -> str:
    code = getattr(answer, "gi_code", None)
    place = f" (the generator of {short(code.co_filename)}:{code.co_firstlineno})" if code else ""
    return (
        f"serve: {name} loses close(){place}: {environ['REQUEST_METHOD']} {environ.get('PATH_INFO') or '/'} ended, and "
        "Django was not told. serve tells it from now on; middleware has to call close() of the answer it was given.\n"
    )
