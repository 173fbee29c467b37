import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.runners.http_head import (
    CHUNKED,
    Head,
    Refusal,
    body_length,
    cgi_variables,
    chunk_size,
    parse_head,
    parse_header,
)


def head(*lines: str) -> Head:
    return parse_head([line.encode("latin-1") for line in (*lines, "Host: a")])


def path(target: str, method: str = "GET") -> str:
    return cgi_variables(head(f"{method} {target} HTTP/1.1"))["PATH_INFO"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", "/"),
        ("/a%20b", "/a b"),
        ("/%e2%82%ac", "/\xe2\x82\xac"),
        ("/a%2Fb", "/a/b"),
        ("/%zz", "/%zz"),
        ("/a//b/../c", "/a//b/../c"),
        ("//host/a", "/host/a"),
        ("/a#fragment?x", "/a"),
        ("http://host/a?b", "/a"),
        ("HTTPS://host", "/"),
        ("http://host?b", "/"),
    ],
)
def test_target_becomes_a_path(target: str, expected: str) -> None:
    assert path(target) == expected


def test_star_is_for_options_only() -> None:
    assert path("*", "OPTIONS") == "*"
    with pytest.raises(Refusal):
        path("*")


def test_host_of_a_url_counts() -> None:
    assert cgi_variables(head("GET http://b:1/ HTTP/1.1"))["HTTP_HOST"] == "b:1"


@pytest.mark.parametrize(
    "target", ["a", "?a", "ftp://host/", "host:80", "#", "http://", "http:///a", "http://me@host/"]
)
def test_target_that_is_no_path_is_refused(target: str) -> None:
    with pytest.raises(Refusal):
        path(target)


def test_query_stays_as_it_came() -> None:
    assert cgi_variables(head("GET /a?b=%20?c HTTP/1.1"))["QUERY_STRING"] == "b=%20?c"


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "close", False),
        ("1.1", "keep-alive, CLOSE", False),
        ("1.1", "closed", True),
        ("1.0", "", False),
        ("1.0", "Keep-Alive", True),
        ("1.0", "keep-alive, close", False),
        ("1.9", "", True),
    ],
)
def test_who_wants_another_request(version: str, connection: str, kept: bool) -> None:
    lines = [f"GET / HTTP/{version}"] + ([f"Connection: {connection}"] if connection else [])
    assert head(*lines).keep_alive is kept


def test_body_length() -> None:
    assert body_length(head("POST / HTTP/1.1")) == 0
    assert body_length(head("POST / HTTP/1.1", "Content-Length: 007")) == 7
    assert body_length(head("POST / HTTP/1.1", "Transfer-Encoding: Chunked")) == CHUNKED


def test_digits_of_other_scripts_are_no_length() -> None:
    with pytest.raises(Refusal):
        body_length(head("POST / HTTP/1.1", "Content-Length: \xb2"))


@pytest.mark.parametrize(("line", "size"), [(b"0", 0), (b"1f", 31), (b"1F;a=b", 31), (b"a ;x", 10), (b"000", 0)])
def test_chunk_size(line: bytes, size: int) -> None:
    assert chunk_size(line) == size


@pytest.mark.parametrize("line", [b"", b"-1", b"+1", b"0x1", b"1_0", b" 1", b"g", b"f" * 16, b";a"])
def test_chunk_size_that_is_none(line: bytes) -> None:
    with pytest.raises(Refusal):
        chunk_size(line)


TOKENS = st.text("!#$%&'*+-.^_`|~0123456789abcXYZ", min_size=1)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))


@given(TOKENS, VALUES)
def test_header_is_read_as_it_was_meant(name: str, value: str) -> None:
    line = f"{name}: {value} \t".encode("latin-1")
    assert parse_header(line) == (name.lower(), value.strip(" \t"))


def test_header_that_comes_again_goes_on() -> None:
    variables = cgi_variables(head("GET / HTTP/1.1", "Cookie: a=1", "X-A: 1", "cookie: b=2", "X-A: 2"))
    assert (variables["HTTP_COOKIE"], variables["HTTP_X_A"]) == ("a=1; b=2", "1, 2")


@given(st.lists(st.binary(), min_size=1))
def test_any_bytes_are_a_head_or_refused(lines: list[bytes]) -> None:
    try:
        found = parse_head(lines)
        body_length(found)
        variables = cgi_variables(found)
    except Refusal as refusal:
        assert 400 <= refusal.status < 600
    else:
        assert variables["PATH_INFO"].startswith("/") or variables["PATH_INFO"] == "*"


def test_long_runs_of_space_take_no_time() -> None:
    with pytest.raises(Refusal):
        parse_header(b"A:" + b" " * 10_000_000 + b"\0")
