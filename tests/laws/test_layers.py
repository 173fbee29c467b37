"""Laws of the layers: they change nothing that they were not asked to change."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any, NamedTuple
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.middleware.access_log import log_access
from launcher.middleware.body_limit import limit_body
from launcher.middleware.proxies import trust_proxies
from launcher.middleware.url_prefix import mount
from tests.exchange import FileWrapper, call, make_environ

SHAPES = ("list", "tuple", "iterator", "object", "generator", "late", "write", "file", "replaced")
LIMIT = 1000


class Behaviour(NamedTuple):
    """What an application does."""

    shape: str
    status: str
    headers: list[tuple[str, str]]
    chunks: list[bytes]
    raises_at: int | None
    """The chunk before which it raises; -1 is the call itself."""
    reads: bool
    read: int | None
    """Chunks after which the client goes away."""
    method: str
    chunked: bool


class Trouble(Exception):
    """What a misbehaving application raises."""


class Body:
    """A response body that counts how often it was closed."""

    def __init__(self, chunks: Iterable[bytes], closed: list[str]) -> None:
        self._chunks = iter(chunks)
        self._closed = closed

    def __iter__(self) -> "Body":
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self._closed.append("closed")


class ListBody(list[bytes]):
    def __init__(self, chunks: Iterable[bytes], closed: list[str]) -> None:
        super().__init__(chunks)
        self.close: Callable[[], None] = lambda: closed.append("closed")


def behave(behaviour: Behaviour, closed: list[str], seen: list[bytes]) -> WSGIApplication:
    """Return the application that behaves so; `closed` gets an entry for each close, `seen` what it reads."""

    def chunks() -> Iterator[bytes]:
        for number, chunk in enumerate(behaviour.chunks):
            if number == behaviour.raises_at:
                raise Trouble
            yield chunk

    def app(environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
        if behaviour.reads:
            seen.append(environ["wsgi.input"].read(LIMIT))
        if behaviour.raises_at == -1:
            raise Trouble
        shape = behaviour.shape
        if shape == "late":
            return late(start_response)
        write = start_response(behaviour.status, behaviour.headers)
        match shape:
            case "list":
                return ListBody(behaviour.chunks, closed)
            case "tuple":
                closed.append("needs none")
                return tuple(behaviour.chunks)
            case "iterator":
                closed.append("needs none")
                return chunks()
            case "object":
                return Body(chunks(), closed)
            case "generator":
                return generator()
            case "write":
                write(b"".join(behaviour.chunks))
                return Body([], closed)
            case "file":
                file = BytesIO(b"".join(behaviour.chunks))
                file.close = lambda: closed.append("closed")  # type: ignore[method-assign]  # to count
                wrapper: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 7)
                return wrapper
            case _:
                try:
                    raise Trouble
                except Trouble:
                    start_response("500 Replaced", [("Content-Type", "text/plain")], sys.exc_info())
                return Body(chunks(), closed)

    def generator() -> Iterator[bytes]:
        try:
            yield from chunks()
        finally:
            closed.append("closed")

    def late(start_response: Any) -> Iterator[bytes]:
        try:
            start_response(behaviour.status, behaviour.headers)
            yield from chunks()
        finally:
            closed.append("closed")

    return app


text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
behaviours = st.builds(
    Behaviour,
    shape=st.sampled_from(SHAPES),
    status=st.builds(lambda code, reason: f"{code} x{reason}".strip(), st.integers(200, 599), text),
    headers=st.lists(st.tuples(st.from_regex(r"X-[A-Za-z]{1,8}", fullmatch=True), text.map(str.strip)), max_size=4).map(
        lambda headers: [*headers, ("Content-Type", "text/plain")]
    ),
    chunks=st.lists(st.binary(max_size=20), max_size=5),
    raises_at=st.one_of(st.none(), st.integers(-1, 4)),
    reads=st.booleans(),
    read=st.one_of(st.none(), st.integers(1, 3)),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    chunked=st.booleans(),
)

Layer = Callable[[WSGIApplication], WSGIApplication]


def layers_writing_to(path: str) -> dict[str, Layer]:
    return {
        "access_log": lambda app: log_access(app, path),
        "body_limit": lambda app: limit_body(app, LIMIT),
        "proxies": lambda app: trust_proxies(app, ["10.0.0.0/8", "unix"], tls=False),
        "url_prefix": lambda app: mount(app, "/shop"),
    }


stacks = st.lists(st.sampled_from(sorted(layers_writing_to(""))), max_size=4, unique=True)


def run(behaviour: Behaviour, wrap: Layer) -> tuple[Any, ...]:
    """Return everything that can be seen of one exchange from outside and inside."""
    closed: list[str] = []
    seen: list[bytes] = []
    environ = make_environ(b"request body", REQUEST_METHOD=behaviour.method, PATH_INFO="/shop/x")
    if behaviour.chunked:
        del environ["CONTENT_LENGTH"]
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    answer = call(wrap(behave(behaviour, closed, seen)), environ, read=behaviour.read)
    return answer.status, answer.headers, answer.body, type(answer.error), closed, seen


@pytest.fixture(scope="module")
def log_path() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield os.path.join(folder, "access.log")


@given(behaviour=behaviours, stack=stacks)
def test_any_stack_keeps_answer_and_close(behaviour: Behaviour, stack: list[str], log_path: str) -> None:
    layers = layers_writing_to(log_path)

    def wrap(app: WSGIApplication) -> WSGIApplication:
        for name in stack:
            app = layers[name](app)
        return app

    bare = run(behaviour, lambda app: app)
    assert run(behaviour, wrap) == bare
    assert len(bare[4]) == 1 or (behaviour.raises_at == -1 or behaviour.shape in ("generator", "late"))


@given(behaviour=behaviours, stack=stacks)
def test_any_stack_keeps_the_contract(behaviour: Behaviour, stack: list[str], log_path: str) -> None:
    layers = layers_writing_to(log_path)

    def wrap(app: WSGIApplication) -> WSGIApplication:
        app = validator(app)
        for name in stack:
            app = validator(layers[name](app))
        return app

    # The validator has opinions of its own: what it says of the bare application is what is to be kept.
    assert run(behaviour, wrap) == run(behaviour, validator)


@given(behaviour=behaviours, stack=st.permutations(sorted(layers_writing_to(""))))
def test_file_stays_a_file_through_every_layer(behaviour: Behaviour, stack: list[str], log_path: str) -> None:
    app = behave(behaviour._replace(shape="file", raises_at=None), [], [])
    for name in stack:
        app = layers_writing_to(log_path)[name](app)
    answer = call(app, make_environ(PATH_INFO="/shop/x"))
    assert isinstance(answer.result, FileWrapper)


LINE = re.compile(
    rb"(?P<client>[!-~]+) - (?P<user>[!-~]+) \[[ -~]+\] "
    rb'"(?:[ !#-\[\]-~]|\\["\\xuU])*" \d{3} (?:\d+|-) '
    rb'"(?:[ !#-\[\]-~]|\\["\\xuU])*" "(?:[ !#-\[\]-~]|\\["\\xuU])*" \d+\n'
)

anything = st.text(st.characters(exclude_categories=()), max_size=3000) | st.text('"\\\r\n\x1b\x00\x85 -[', max_size=99)


@given(
    fields=st.dictionaries(
        st.sampled_from(
            [
                "REMOTE_ADDR",
                "REMOTE_USER",
                "REQUEST_METHOD",
                "RAW_URI",
                "PATH_INFO",
                "SCRIPT_NAME",
                "QUERY_STRING",
                "SERVER_PROTOCOL",
                "HTTP_REFERER",
                "HTTP_USER_AGENT",
            ]
        ),
        anything,
    ),
    status=anything,
    length=anything,
)
def test_no_request_and_no_answer_can_forge_a_log_line(
    fields: dict[str, str], status: str, length: str, log_path: str
) -> None:
    def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
        start_response(status, [("Content-Length", length)])
        return []

    open(log_path, "w").close()
    call(log_access(app, log_path), make_environ(**fields))
    with open(log_path, "rb") as file:
        data = file.read()
    assert LINE.fullmatch(data)
    assert len(data) <= 4096
