import io
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.runners.http_head import Refusal, parse_head
from launcher.runners.http_stream import ClientGone, ClientStalled, ClientStream, open_body, read_head

SOON = time.monotonic() + 3600


@pytest.fixture
def pair() -> Iterator[tuple[ClientStream, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ClientStream(ours, 10), theirs


def said(data: bytes) -> ClientStream:
    """Return the stream of a client that has said this and gone."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    return ClientStream(ours, 10)


def test_lines_and_bytes_come_in_turn() -> None:
    stream = said(b"one\r\n\r\nrest")
    assert stream.line(3, SOON) == b"one"
    assert stream.line(0, SOON) == b""
    assert stream.read(2) == b"re"
    assert stream.read(100) == b"st"
    assert stream.read(1) == b""
    stream.sock.close()


@pytest.mark.parametrize("data", [b"four\r\n", b"four", b"a much longer line without an end"])
def test_line_is_no_longer_than_its_limit(data: bytes) -> None:
    stream = said(data)
    with pytest.raises((ValueError, ClientGone)):
        stream.line(3, SOON)
    stream.sock.close()


def test_line_that_does_not_come_in_time(pair: tuple[ClientStream, socket.socket]) -> None:
    stream, theirs = pair
    theirs.send(b"GET")
    with pytest.raises(ClientStalled):
        stream.line(10, time.monotonic() + 0.01)
    with pytest.raises(ClientStalled):
        stream.line(10, time.monotonic() - 1)


def test_head_is_absent_where_the_client_has_closed() -> None:
    for data in (b"", b"\r\n"):
        stream = said(data)
        assert read_head(stream, 100, 100) is None
        stream.sock.close()


def test_head_that_breaks_off_is_no_request() -> None:
    stream = said(b"GET / HTTP/1.1\r\nHo")
    with pytest.raises(ClientGone):
        read_head(stream, 100, 100)
    stream.sock.close()


@pytest.mark.parametrize(
    ("line", "header", "max_line", "max_size", "status"),
    [
        (20, 20, 20, 46, 0),
        (20, 20, 20, 45, 431),
        (20, 20, 19, 100, 414),
        (20, 20, 100, 19, 431),
        (20, 20, 19, 19, 414),
    ],
)
def test_limits_of_a_head(line: int, header: int, max_line: int, max_size: int, status: int) -> None:
    first = "GET /" + "x" * (line - 14) + " HTTP/1.0"
    stream = said(f"{first}\r\n{'A: '.ljust(header, 'x')}\r\n\r\n".encode())
    if status:
        with pytest.raises(Refusal) as caught:
            read_head(stream, max_line, max_size)
        assert caught.value.status == status
    else:
        assert read_head(stream, max_line, max_size)
    stream.sock.close()


def test_what_is_written_waits_for_flush(pair: tuple[ClientStream, socket.socket]) -> None:
    stream, theirs = pair
    stream.write(b"one ")
    stream.write(b"two")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    stream.flush()
    assert theirs.recv(100) == b"one two"
    stream.flush()
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


def test_client_that_does_not_read_has_gone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = ClientStream(ours, 0.05)
        stream.write(b"x" * 10_000_000)
        with pytest.raises(ClientGone):
            stream.flush()


POST = parse_head([b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked"])


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.booleans())
def test_chunks_come_together_again(pieces: list[bytes], extended: bool) -> None:
    extension = b";a=b" if extended else b""
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    stream = said(wire + b"0\r\n\r\nnext")
    body, size = open_body(stream, POST, 10_000)
    whole = b"".join(pieces)
    assert (size, io.BufferedReader(body).read()) == (len(whole), whole)
    assert body.end(read_on=True)
    assert stream.read(100) == b"next"
    stream.sock.close()


@given(st.binary(max_size=200))
def test_any_chunks_end_or_are_refused(wire: bytes) -> None:
    stream = said(wire)
    try:
        body, _ = open_body(stream, POST, 100)
        body.end(read_on=True)
    except (Refusal, ClientGone):
        pass
    stream.sock.close()


def test_endless_trailers_are_refused() -> None:
    stream = said(b"0\r\n" + b"A: b\r\n" * 5000)
    with pytest.raises(Refusal):
        open_body(stream, POST, 100)
    stream.sock.close()


def with_length(data: bytes, length: int) -> tuple[ClientStream, io.RawIOBase]:
    stream = said(data)
    body, _ = open_body(stream, parse_head([b"POST / HTTP/1.1", b"Host: a", b"Content-Length: %d" % length]), 10**9)
    return stream, body


def test_body_cannot_be_read_after_its_request() -> None:
    stream, body = with_length(b"body of the next request", 4)
    reader = io.BufferedReader(body)
    assert body.end(read_on=True)  # type: ignore[attr-defined]  # it is a Body
    assert reader.read() == b""
    assert stream.read(100) == b" of the next request"
    stream.sock.close()


def test_body_that_breaks_off_is_an_error() -> None:
    stream, body = with_length(b"half", 8)
    with pytest.raises(ClientGone):
        io.BufferedReader(body).read()
    stream.sock.close()
