"""What a client gets, the same on every server, where servers would differ."""

import time
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from launcher.testing.serving import Serving
from tests.machine import SERVERS

pytestmark = pytest.mark.live

BEHIND_A_ROUTER = "uwsgi that keeps connections"


@pytest.fixture(params=[*SERVERS, BEHIND_A_ROUTER])
def profile(request: pytest.FixtureRequest) -> dict[str, object]:
    kept = {"keepalive": "30s"} if request.param != "uwsgi" else {}
    return {"server": request.param.split()[0], "bind": "127.0.0.1:0", **kept}


def test_head_has_no_body(profile: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100_000)
    with Serving(tmp_path, profile) as serving:
        for target in ("/large?bytes=100000", f"/given?path={file}", "/stream?pieces=3", "/"):
            with serving.client() as client:
                client.get(target, method="HEAD")
                client.get("/", "Connection: close")
                said = client.rest()
                assert said.count(b"HTTP/1.1 200") in (1, 2), said[:300]
                head, _, rest = said.partition(b"\r\n\r\n")
                assert not rest or rest.startswith(b"HTTP/1.1 200"), (head, rest[:100])


def test_a_body_that_nobody_reads_costs_no_answer(profile: dict[str, object], tmp_path: Path) -> None:
    with Serving(tmp_path, profile) as serving:
        for _ in range(10):
            with serving.client() as client:
                assert client.ask("/", method="POST", body=b"x" * 1_000_000).status == 200


def test_a_query_is_never_lost(profile: dict[str, object], tmp_path: Path) -> None:
    with Serving(tmp_path, profile) as serving:
        for size in (100, 15_000, 16_500, 20_000):
            with serving.client() as client:
                client.get(f"/stream?pieces=2&more={'x' * size}", "Connection: close")
                said = client.rest()
                assert not said.startswith(b"HTTP/1.1 200") or b"0\n" in said.partition(b"\r\n\r\n")[2], said[:300]


def test_a_client_by_a_unix_socket_has_no_address(profile: dict[str, object], tmp_path: Path) -> None:
    with Serving(tmp_path, {**profile, "bind": f"unix:{tmp_path}/socket"}) as serving:
        seen = serving.request("/environ").json()
        assert (seen["REMOTE_ADDR"], seen.get("REMOTE_PORT") or "", seen["SERVER_PORT"]) == ("", "", "80")


CHUNKED = "Transfer-Encoding: chunked"
EXTENDED = "5;an=extension\r\n12345\r\n0\r\nA-Trailer: 1\r\n\r\n"


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


@pytest.mark.parametrize("limit", [None, 5_000_000], ids=["no limit", "limit"])
def test_a_chunked_body_has_a_length(profile: dict[str, object], limit: int | None, tmp_path: Path) -> None:
    with Serving(tmp_path, {**profile, **({"max_body_size": limit} if limit else {})}) as serving:
        for pieces in ((b"a",), (b"x" * 3_000_000,), (b"y" * 10_000,) * 300, ()):
            with serving.client() as client:
                client.get("/echo", CHUNKED, method="POST")
                client.send(chunks(*pieces))
                answer = client.answer("POST")
                assert (answer.status, answer.body) == (200, b"".join(pieces))
        with serving.client() as client:
            client.send(f"POST /environ HTTP/1.1\r\nHost: localhost\r\n{CHUNKED}\r\n\r\n" + EXTENDED)
            seen = client.answer("POST").json()
            assert seen["CONTENT_LENGTH"] == "5"
            assert "HTTP_TRANSFER_ENCODING" not in seen


def test_uwsgi_with_gevent_waits_for_the_chunks_of_several_at_once(tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    profile = {"server": "uwsgi", "bind": "127.0.0.1:0", "native": {"uwsgi": {"gevent": 10}}}
    with Serving(tmp_path, profile) as serving, ExitStack() as stack:
        clients = [stack.enter_context(serving.client()) for _ in range(4)]
        for client in clients:
            client.get("/echo", CHUNKED, method="POST")
            client.send("5\r\n12")
        for client in reversed(clients):
            client.send("345\r\n0\r\n\r\n")
            assert client.answer("POST").body == b"12345"


@pytest.mark.parametrize(
    ("framing", "body", "statuses"),
    [
        (CHUNKED, b"5\r\n12345\r\nzz\r\n\r\n", {b"400"}),
        (f"{CHUNKED}\r\nContent-Length: 5", chunks(b"12345"), {b"400"}),
        ("Transfer-Encoding: gzip, chunked", chunks(b"12345"), {b"400", b"501"}),
    ],
    ids=["malformed", "with a length", "unknown"],
)
def test_chunks_that_two_readers_could_take_for_others_are_refused(
    profile: dict[str, object], framing: str, body: bytes, statuses: set[bytes], tmp_path: Path
) -> None:
    with Serving(tmp_path, {**profile, "access_log": "access"}) as serving, serving.client() as client:
        client.get("/echo", framing, method="POST")
        client.send(body)
        said = client.rest()
        assert said[9:12] in statuses
        assert said.lower().count(b"\r\nconnection: close\r\n") == 1, said
    # Not every server lets the application see such a request.
    logged = {line.split()[8].encode() for line in (tmp_path / "access").read_text().splitlines() if "/echo" in line}
    assert logged <= {said[9:12]}


def test_heads_may_be_long_in_production_and_no_longer(profile: dict[str, object], tmp_path: Path) -> None:
    headers = [f"X-{number}: {number}" for number in range(98)]  # and Host, and Connection
    with Serving(tmp_path, profile, name="prod") as serving:
        seen = serving.report(f"/environ?q={'x' * 8000}", *headers)
        assert (seen["QUERY_STRING"], seen["HTTP_X_97"]) == (f"q={'x' * 8000}", "97")
        longer = serving.request(f"/?q={'x' * 8200}").status
        more = serving.request("/", *headers, "X-More: 1").status
        assert (longer, more) == (414, 431)


def test_an_answer_has_a_date(profile: dict[str, object], tmp_path: Path) -> None:
    with Serving(tmp_path, profile) as serving:
        before = int(time.time())
        date = parsedate_to_datetime(serving.request("/").headers["date"]).timestamp()
        assert before <= date <= time.time()
        assert serving.request("/missing").headers["date"]


def test_whoever_keeps_a_connection_is_told_that_it_closes(profile: dict[str, object], tmp_path: Path) -> None:
    with Serving(tmp_path, profile) as serving:
        for size in (10, 100_000, 400_000) * 5:
            with serving.client() as client:
                for _ in range(3):
                    answer = client.ask("/", method="POST", body=b"x" * size)
                    assert answer.status == 200
                    if answer.headers.get("connection", "") == "close":
                        break


@pytest.mark.parametrize("length", ["abc", "-5", "+5", "5, 6"])
def test_a_length_that_is_none_is_refused(profile: dict[str, object], length: str, tmp_path: Path) -> None:
    with Serving(tmp_path, profile) as serving, serving.client() as client:
        client.get("/echo", f"Content-Length: {length}", method="POST")
        client.send(b"12345")
        assert client.rest()[9:12] in (b"", b"400")


def test_a_client_that_asks_first_is_told_to_send(profile: dict[str, object], tmp_path: Path) -> None:
    with Serving(tmp_path, profile) as serving:
        for length in ("Content-Length: 5", CHUNKED):
            with serving.client() as client:
                client.get("/echo", "Expect: 100-continue", length, method="POST")
                told = b""
                while not told.endswith(b"\r\n\r\n"):
                    told += client.sock.recv(1)
                assert told.startswith(b"HTTP/1.1 100 ")
                client.send(b"12345" if length != CHUNKED else chunks(b"12345"))
                assert client.answer("POST").body == b"12345"


def test_what_is_no_http_is_refused(profile: dict[str, object], tmp_path: Path) -> None:
    with Serving(tmp_path, profile) as serving:
        with serving.client() as client:
            client.send(b"GARBAGE\r\n\r\n")
            assert client.rest()[9:12] in (b"", b"400")
        assert "Traceback" not in serving.output
