"""HTTP/1.1 as the wsgiref runner speaks it, on the wire."""

import contextlib
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.testing.serving import wait_for
from tests.live.runner_process import Client, Hold, Runner, refused

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner("wsgiref", "--client-timeout", "20") as running:
        yield running
        assert running.stop() == 0


@pytest.fixture
def client(runner: Runner) -> Iterator[Client]:
    with runner.client() as connected:
        yield connected


def goes_on(client: Client) -> None:
    """Check that the connection is at the beginning of a request."""
    assert client.ask("/hello").body == b"hello"


# Answers


def test_connection_is_kept_for_the_next_request(client: Client) -> None:
    for _ in range(3):
        answer = client.ask("/hello")
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.headers["content-length"] == "5"
        assert sorted(answer.headers) == ["content-length", "content-type", "date"]


def test_client_that_wants_to_close_is_told_so(client: Client) -> None:
    assert client.ask("/hello", "Connection: foo, Close").headers["connection"] == "close"
    assert client.rest() == b""


def test_old_client_keeps_its_connection_only_if_it_asks(runner: Runner, client: Client) -> None:
    assert client.ask("/hello", "Connection: Keep-Alive", version="1.0").headers["connection"] == "keep-alive"
    assert client.ask("/hello", version="1.0").headers["connection"] == "close"
    assert client.rest() == b""


def test_requests_that_come_at_once_are_answered_in_order(client: Client) -> None:
    for path in ("/hello", "/stream", "/missing", "/hello"):
        client.get(path)
    assert [client.answer().body for _ in range(4)] == [b"hello", b"one two", b"no such path\n", b"hello"]


def test_answer_of_unknown_length_is_chunked(client: Client) -> None:
    answer = client.ask("/stream")
    assert answer.body == b"one two"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers
    goes_on(client)


def test_answer_of_unknown_length_ends_with_the_connection_for_old_clients(client: Client) -> None:
    answer = client.ask("/stream", "Connection: keep-alive", version="1.0")
    assert answer.body == b"one two"
    assert "transfer-encoding" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/hello", "/stream", "/empty", "/write", "/fail", "/file", "/too_much", "/too_little"]
)
def test_head_has_no_body_on_the_wire(client: Client, path: str) -> None:
    client.get(path, method="HEAD")
    client.get("/hello")
    answer = client.answer("HEAD")
    assert answer.headers.get("content-length") != "0"
    assert client.answer().body == b"hello"


def test_head_says_the_length_that_get_would_have(client: Client) -> None:
    assert client.ask("/hello", method="HEAD").headers["content-length"] == "5"


@pytest.mark.parametrize(("path", "status"), [("/no_content", 204), ("/not_modified", 304)])
def test_status_without_body_has_none_on_the_wire(client: Client, path: str, status: int) -> None:
    client.get(path)
    client.get("/hello")
    answer = client.answer()
    assert answer.status == status
    assert not {"content-length", "transfer-encoding"} & set(answer.headers)
    assert client.answer().body == b"hello"


def test_no_byte_goes_beyond_content_length(client: Client) -> None:
    assert client.ask("/too_much").body == b"1234"
    goes_on(client)


def test_answer_that_stays_behind_content_length_ends_the_connection(client: Client) -> None:
    client.get("/too_little")
    assert client.rest().endswith(b"\r\n\r\n1234")


def test_empty_answer_has_length_0(client: Client) -> None:
    assert client.ask("/empty").headers["content-length"] == "0"
    goes_on(client)


def test_write_callable(client: Client) -> None:
    assert client.ask("/write").body == b"written returned"


def test_first_chunk_is_sent_at_once(runner: Runner, client: Client) -> None:
    hold = Hold(runner.directory)
    client.get(f"/hold_late?{hold.path}")
    data = b""
    while not data.endswith(b"begun \r\n"):
        data += client.sock.recv(4096)
    hold.wait_until_held()
    hold.release()
    assert b"ended" in client.sock.recv(4096)


def test_file_wrapper(client: Client) -> None:
    body = client.ask("/file").body
    assert body == (Path(__file__).parents[1] / "apps/answers.py").read_bytes()


def test_result_is_closed(runner: Runner, client: Client) -> None:
    before = runner.text.count("closed\n")
    client.ask("/stream")
    wait_for(lambda: runner.text.count("closed\n") == before + 1, "close()")


def test_result_is_closed_when_the_client_has_gone(runner: Runner) -> None:
    before = runner.text.count("closed\n")
    with runner.client() as client:
        client.get("/endless")
        client.sock.recv(1000)
    wait_for(lambda: runner.text.count("closed\n") == before + 1, "close()")


# Mistakes of the application


@pytest.mark.parametrize(
    "path", ["/fail", "/exit", "/broken_database", "/twice", "/never", "/text", "/split", "/hop", "/astral"]
)
def test_mistake_before_the_answer_is_a_500_that_tells_nothing(runner: Runner, client: Client, path: str) -> None:
    answer = client.ask(path)
    assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
    assert "x-smuggled" not in answer.headers
    assert f"GET {path} failed\nTraceback" in runner.text
    goes_on(client)


def test_mistake_within_the_answer_leaves_it_visibly_unfinished(client: Client) -> None:
    client.get("/fail_late")
    assert client.rest().endswith(b"\r\n4\r\nhalf\r\n")


def test_mistake_in_close_comes_after_the_answer(client: Client) -> None:
    assert client.ask("/close_fails").body == b"whole"
    assert client.rest() == b""


def test_exc_info_replaces_an_answer_that_has_not_begun(client: Client) -> None:
    answer = client.ask("/recover")
    assert (answer.status, answer.body) == (503, b"recovered")


def test_headers_of_one_answer_do_not_get_into_the_next(client: Client) -> None:
    client.ask("/stream")
    client.ask("/hello", "Connection: keep-alive", version="1.0")
    assert sorted(client.ask("/hello").headers) == ["content-length", "content-type", "date"]


def test_validator_finds_nothing() -> None:
    with Runner("wsgiref", app="tests.apps.answers:validated") as runner:
        with runner.client() as client:
            for path in ("/hello", "/stream", "/unread", "/empty"):
                assert client.ask(path).status == 200
            client.get("/unread", "Content-Length: 3", "Content-Type: text/plain", method="POST")
            client.send("abc")
            assert client.answer().status == 200
            goes_on(client)
        assert runner.stop() == 0
        assert "Traceback" not in runner.text


# Bodies of requests


def post(client: Client, path: str, body: bytes, *headers: str) -> None:
    client.get(path, *headers, f"Content-Length: {len(body)}", method="POST")
    client.send(body)


def test_body_is_read_to_its_end_and_no_further(client: Client) -> None:
    post(client, "/echo", b"x" * 100_000)
    client.get("/hello")
    answer = client.answer()
    assert (answer.body, answer.headers["x-length"]) == (b"x" * 100_000, "100000")
    assert client.answer().body == b"hello"


def test_body_is_read_by_lines(client: Client) -> None:
    post(client, "/lines", b"one\ntwo\nthree")
    assert client.answer().body == repr([b"one\n", [b"two\n", b"three"], b""]).encode()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_body_without_length_is_empty(client: Client, method: str) -> None:
    answer = client.ask("/echo", method=method)
    assert (answer.body, answer.headers["x-length"]) == (b"", "none")
    goes_on(client)


def test_unread_body_is_no_request(client: Client) -> None:
    post(client, "/unread", b"GET /fail HTTP/1.1\r\n\r\n")
    assert client.answer().body == b"body unread"
    goes_on(client)


def test_long_unread_body_ends_the_connection_after_the_answer(client: Client) -> None:
    post(client, "/unread", b"x" * 1_000_000)
    answer = client.answer()
    assert (answer.body, answer.headers["connection"]) == (b"body unread", "close")
    assert client.rest() == b""


def test_unread_body_that_does_not_come_holds_nobody_up(client: Client) -> None:
    client.get("/unread", "Content-Length: 10", method="POST")
    since = time.monotonic()
    assert client.answer().body == b"body unread"
    client.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == b""
    assert time.monotonic() - since < 15


CHUNKED = "Transfer-Encoding: chunked"


def test_chunked_body_is_decoded(client: Client) -> None:
    client.get("/echo", CHUNKED, method="POST")
    for piece in (b"5;name=value\r\nhello\r\n", b"1\r", b"\n!\r\n0", b"0\r\nTrailer: x\r\n\r\n"):
        client.send(piece)
    answer = client.answer()
    assert (answer.body, answer.headers["x-length"]) == (b"hello!", "6")
    goes_on(client)


def test_chunked_body_larger_than_memory_is_wanted_for(client: Client) -> None:
    client.get("/echo", CHUNKED, method="POST")
    for _ in range(50):
        client.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
    client.send("0\r\n\r\n")
    assert client.answer().body == b"x" * 0x10000 * 50


def test_chunked_body_that_is_unread_is_no_request(client: Client) -> None:
    client.get("/unread", CHUNKED, method="POST")
    client.send("3\r\nabc\r\n0\r\n\r\n")
    assert client.answer().body == b"body unread"
    goes_on(client)


def test_chunked_body_leaves_no_trace_in_the_environ(client: Client) -> None:
    client.get("/environ", CHUNKED, method="POST")
    client.send("3\r\nabc\r\n0\r\n\r\n")
    environ = client.answer().json()
    assert environ["CONTENT_LENGTH"] == "3"
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.parametrize("body", ["x\r\n", "\r\n", "-1\r\n", "3\r\nabcd\r\n", "3 3\r\n", "1" * 17 + "\r\n", "3\n"])
def test_malformed_chunk_is_a_bad_request(client: Client, body: str) -> None:
    client.get("/echo", CHUNKED, method="POST")
    client.send(body)
    assert client.answer().status == 400
    client.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == b""


def test_continue_is_said_when_the_body_is_read(client: Client) -> None:
    client.get("/echo", "Expect: 100-continue", "Content-Length: 3", method="POST")
    assert client.answer().status == 100
    client.send("abc")
    assert client.answer().body == b"abc"
    goes_on(client)


def test_continue_is_said_before_chunks(client: Client) -> None:
    client.get("/echo", "Expect: 100-continue", CHUNKED, method="POST")
    assert client.answer().status == 100
    client.send("3\r\nabc\r\n0\r\n\r\n")
    assert client.answer().body == b"abc"


def test_continue_is_not_said_when_nobody_reads(client: Client) -> None:
    client.get("/unread", "Expect: 100-continue", "Content-Length: 3", method="POST")
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == b""


def test_continue_is_not_said_within_an_answer(client: Client) -> None:
    client.get("/read_late", "Expect: 100-continue", "Content-Length: 3", method="POST")
    client.send("abc")
    assert client.answer().body == b"begun abc"


def test_body_that_is_too_long_is_refused_so_that_the_client_can_read_why() -> None:
    with Runner("wsgiref", "--max-body-size", "1000") as runner, runner.client() as client:
        client.get("/echo", "Content-Length: 50000000", method="POST")
        for _ in range(100):
            client.send(b"x" * 10_000)
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        client.close()
        assert runner.stop() == 0


def test_body_that_breaks_off_is_an_error_for_the_application(runner: Runner) -> None:
    with runner.client() as client:
        client.get("/logged", "Content-Length: 10", method="POST")
        client.send("half")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
    runner.wait_for_line("read failed: ClientGone")


# Requests that are none

BAD = {
    "astronomic length": ("POST / HTTP/1.1\r\nContent-Length: " + "9" * 30, 413),
    "coding with a vertical tab": ("POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked", 400),
    "long header": ("GET / HTTP/1.1\r\nA: " + "x" * 70_000, 431),
}
"""Besides those in test_heads.py."""


@pytest.mark.parametrize(("head", "status"), BAD.values(), ids=BAD)
def test_request_that_is_none_is_refused(client: Client, head: str, status: int) -> None:
    client.send(f"{head}\r\nHost: a\r\n\r\n")
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == b""


def test_bare_line_feed_is_refused_at_once(client: Client) -> None:
    client.send("GET / HTTP/1.1\n\n")
    assert client.answer().status == 400


def test_request_line_is_measured_exactly() -> None:
    with Runner("wsgiref", "--max-request-line", "100") as runner:
        room = 100 - len("GET /hello? HTTP/1.1")
        assert runner.ask("/hello?" + "x" * room).status == 200
        assert runner.ask("/hello?" + "x" * (room + 1)).status == 414
        assert runner.stop() == 0


def test_empty_lines_before_a_request_are_skipped(client: Client) -> None:
    client.send("\r\n\r\n")
    goes_on(client)


# What the application is told


def test_environ_over_tcp(runner: Runner, client: Client) -> None:
    client.get("//a%20b//%e2%82%ac%2F?x=%20&y", "X-One: 1", "X-One: 2", "X_One: 3", "Cookie: a=1", "Cookie: b=2")
    client.get("/environ?x=1", "X-One: 1", "X-One: 2", "X_One: 3", "Cookie: a=1", "Cookie: b=2", "Proxy: evil")
    assert client.answer().status == 404
    environ = client.answer().json()
    host, _, port = runner.address.rpartition(":")
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/environ",
        "QUERY_STRING": "x=1",
        "REQUEST_URI": "/environ?x=1",
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "wsgiref",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(client.sock.getsockname()[1]),
        "HTTP_HOST": "test",
        "HTTP_X_ONE": "1, 2",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_PROXY": "evil",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert environ == expected


def test_environ_over_a_unix_socket() -> None:
    with Runner("wsgiref", bind=["unix:DIR/socket"]) as runner:
        environ = runner.ask("/environ").json()
        assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == ("localhost", "80", "")
        assert "REMOTE_PORT" not in environ
        assert runner.stop() == 0


def test_environ_over_ipv6() -> None:
    with Runner("wsgiref", bind=["[::1]:0"]) as runner:
        environ = runner.ask("/environ").json()
        assert (environ["SERVER_NAME"], environ["REMOTE_ADDR"]) == ("::1", "::1")
        assert runner.stop() == 0


def test_absolute_target_names_a_path(client: Client) -> None:
    assert client.ask("http://elsewhere/environ?a").json()["PATH_INFO"] == "/environ"
    assert client.ask("http://elsewhere").body == b"hello"


# Clients that take their time


def test_stalled_client_holds_a_thread_for_client_timeout_only() -> None:
    with Runner("wsgiref", "--threads", "1", "--client-timeout", "0.6") as runner:
        for begun in ("GET / HT", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"):
            with runner.client() as stalled:
                stalled.send(begun)
                assert runner.ask("/hello").body == b"hello"
                assert stalled.answer().status == 408
        assert runner.stop() == 0


def test_head_that_trickles_in_has_client_timeout_in_all() -> None:
    with Runner("wsgiref", "--client-timeout", "0.6") as runner, runner.client() as client:
        since = time.monotonic()
        client.sock.settimeout(0.1)
        client.send("GET / HTTP/1.1\r\nX: ")
        answer = b""
        with contextlib.suppress(ConnectionError):
            while not answer:
                assert time.monotonic() - since < 10
                client.send("x")
                with contextlib.suppress(TimeoutError):
                    answer = client.sock.recv(100)
        assert time.monotonic() - since >= 0.6
        assert answer.startswith(b"HTTP/1.1 408 ")
        client.close()
        assert runner.stop() == 0


def test_process_out_of_descriptors_accepts_again_later() -> None:
    limited = ("prlimit", "--nofile=32", sys.executable)
    with Runner("wsgiref", python=limited) as runner, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(runner.client()) for _ in range(40)]
        runner.wait_for_line("cannot accept: .*")
        assert clients[0].ask("/hello").body == b"hello"
        for client in clients[:30]:
            client.close()
        assert clients[-1].ask("/hello").body == b"hello"
        stack.close()
        assert runner.stop() == 0


def test_requests_after_the_one_in_flight_are_answered_by_nobody_when_it_stops(tmp_path: Path) -> None:
    with Runner("wsgiref") as runner, runner.client() as client:
        hold = Hold(tmp_path)
        client.get(hold.target)
        hold.wait_until_held()
        client.get("/hello")
        runner.tell(signal.SIGTERM)
        wait_for(lambda: refused(runner.address), "a closed listener")
        hold.release()
        assert client.answer().headers["connection"] == "close"
        assert runner.wait() == 0


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's certificate, a client's, and a key that has a password."""
    directory = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client"):
        words = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}"
        files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
        subprocess.run([*words.split(), *files], cwd=directory, check=True, capture_output=True)
    subprocess.run(
        ["openssl", "ec", "-in", "server.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key"],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    (directory / "both.pem").write_text((directory / "server.pem").read_text() + (directory / "server.key").read_text())
    return directory


def tls_client(address: str, certificates: Path, *, with_certificate: bool = False) -> Client:
    context = ssl.create_default_context(cafile=str(certificates / "server.pem"))
    if with_certificate:
        context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    plain = Client(address).sock
    return Client(address, context.wrap_socket(plain, server_hostname="127.0.0.1"))


def tls_flags(certificates: Path, *more: str) -> list[str]:
    words = ["--tls-cert", "CERT/server.pem", "--tls-key", "CERT/server.key", *more]
    return [word.replace("CERT", str(certificates)) for word in words]


def test_tls_is_spoken_and_told(certificates: Path) -> None:
    with Runner("wsgiref", *tls_flags(certificates), bind=["127.0.0.1:0"]) as runner:
        with tls_client(runner.address, certificates) as client:
            environ = client.ask("/environ").json()
            assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
            post(client, "/echo", b"x" * 300_000)
            assert client.answer().body == b"x" * 300_000
            for path in ("/hello", "/stream"):
                client.get(path)
            assert [client.answer().body for _ in range(2)] == [b"hello", b"one two"]
            # With its end mark: a missing one would raise here.
            client.get("/stream", version="1.0")
            assert client.rest().endswith(b"one two")
        assert runner.stop() == 0
        assert "Traceback" not in runner.text


def test_tls_certificate_and_key_may_share_a_file(certificates: Path) -> None:
    with Runner("wsgiref", "--tls-cert", str(certificates / "both.pem")) as runner:
        with tls_client(runner.address, certificates) as client:
            goes_on(client)
        assert runner.stop() == 0


def test_tls_over_a_unix_socket(certificates: Path) -> None:
    with Runner("wsgiref", *tls_flags(certificates), bind=["unix:DIR/socket"]) as runner:
        with tls_client(runner.address, certificates) as client:
            assert client.ask("/environ").json()["SERVER_PORT"] == "443"
        assert runner.stop() == 0


def test_client_certificate_is_required(certificates: Path) -> None:
    flags = tls_flags(certificates, "--tls-ca", "CERT/client.pem", "--tls-client-cert", "required")
    with Runner("wsgiref", *flags) as runner:
        with tls_client(runner.address, certificates, with_certificate=True) as client:
            goes_on(client)
        with pytest.raises(OSError), tls_client(runner.address, certificates) as client:
            client.ask("/hello")
        assert runner.stop() == 0


def test_client_certificate_is_optional(certificates: Path) -> None:
    flags = tls_flags(certificates, "--tls-ca", "CERT/client.pem", "--tls-client-cert", "optional")
    with Runner("wsgiref", *flags) as runner:
        for shown in (True, False):
            with tls_client(runner.address, certificates, with_certificate=shown) as client:
                goes_on(client)
        assert runner.stop() == 0


def test_handshake_that_stalls_holds_a_thread_for_client_timeout_only(certificates: Path) -> None:
    with Runner("wsgiref", *tls_flags(certificates), "--threads", "1", "--client-timeout", "0.6") as runner:
        with runner.client() as stalled:
            stalled.send(b"\x16\x03\x01")
            with tls_client(runner.address, certificates) as client:
                goes_on(client)
            assert stalled.rest() == b""
        assert runner.stop() == 0


def test_plain_http_on_a_tls_port_is_told_where_to_go(certificates: Path) -> None:
    with Runner("wsgiref", *tls_flags(certificates)) as runner:
        with runner.client() as plain:
            plain.get("/hello")
            answer = plain.answer()
            assert answer.status == 400
            assert answer.body.decode() == f"This port speaks HTTPS: https://{runner.address}\n"
            assert plain.rest() == b""
        with tls_client(runner.address, certificates) as client:
            goes_on(client)
        assert runner.stop() == 0


def test_stop_finishes_what_is_in_flight_over_tls(certificates: Path, tmp_path: Path) -> None:
    with Runner("wsgiref", *tls_flags(certificates), "--keepalive", "600") as runner:
        hold = Hold(tmp_path)
        with tls_client(runner.address, certificates) as client, tls_client(runner.address, certificates) as idle:
            goes_on(idle)
            client.get(hold.target)
            hold.wait_until_held()
            runner.tell(signal.SIGTERM)
            assert idle.rest() == b""
            hold.release()
            assert client.answer().body == b"held"
            assert runner.wait() == 0


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (["--tls-key", "CERT/server.key"], 2, "say nothing without --tls-cert"),
        (["--tls-cert", "CERT/server.pem", "--tls-key", "CERT/locked.key"], 3, "is encrypted"),
        (["--tls-cert", "CERT/both.pem", "--tls-ca", "CERT/client.pem"], 2, "need each other"),
        (["--tls-cert", "CERT/both.pem", "--tls-client-cert", "required"], 2, "need each other"),
        (["--tls-cert", "CERT/both.pem", "--tls-ca", "CERT/x.pem", "--tls-client-cert", "optional"], 3, "x.pem"),
    ],
)
def test_tls_that_cannot_be_is_refused(certificates: Path, flags: list[str], status: int, words: str) -> None:
    flags = [flag.replace("CERT", str(certificates)) for flag in flags]
    with Runner("wsgiref", *flags, ready=False) as runner:
        assert runner.wait() == status
        assert words in runner.text
