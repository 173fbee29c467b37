"""What only the waitress runner has, and facts about waitress 3.0.2 that it rests on."""

import contextlib
import resource
import select
import signal
import time

import pytest

from tests.live.runner_process import Runner

pytestmark = pytest.mark.live


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("idnt=x", "no setting 'idnt'. Did you mean 'ident'?"),
        ("threads=3", "native setting 'threads' is --threads here"),
        ("cleanup_interval=3", "'cleanup_interval' has no effect"),
        ("recv_bytes=many", "'recv_bytes' cannot be 'many'"),
        ("trusted_proxy_count=3", "trusted_proxy_count has no meaning"),
        ("ident", "is not KEY=VALUE"),
    ],
)
def test_native_setting_that_cannot_be_is_a_usage_error(setting: str, words: str) -> None:
    with Runner("waitress", "--native", setting, ready=False) as runner:
        assert runner.wait() == 2
        assert words in runner.text


def test_native_settings_reach_waitress() -> None:
    with Runner("waitress", "--native", "ident=somebody", "--native", "url_scheme=https") as runner:
        answer = runner.ask("/environ")
        assert answer.headers["server"] == "somebody"
        assert answer.json()["wsgi.url_scheme"] == "https"
        assert runner.stop() == 0


@pytest.mark.parametrize("listeners", [1, 3])
def test_max_connections_counts_clients_only(listeners: int) -> None:
    bind = ["127.0.0.1:0", "[::1]:0", "unix:DIR/socket"][:listeners]
    with Runner("waitress", "--max-connections", "2", "--keepalive", "600", bind=bind) as runner:
        with runner.client() as one, runner.client() as two, runner.client() as three:
            assert one.ask("/hello").body == two.ask("/hello").body == b"hello"
            three.get("/hello")
            runner.wait_for_line("total open connections reached the connection limit.*")
            assert one.ask("/hello").body == b"hello"
            assert select.select([three.sock], [], [], 0)[0] == []
            one.close()
            assert three.answer().body == b"hello"
            with runner.client() as four:
                four.get("/hello")
                runner.tell(signal.SIGTERM)
                assert four.answer().body == b"hello"
        assert runner.wait() == 0


def test_more_connections_than_select_can_watch() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("needs 4096 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    try:
        flags = ["--max-connections", "1200", "--keepalive", "600", "--client-timeout", "600"]
        with Runner("waitress", *flags) as runner, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(runner.client()) for _ in range(1100)]
            assert clients[-1].ask("/hello").body == b"hello"
            assert clients[0].ask("/hello").body == b"hello"
            stack.close()
            assert runner.ask("/hello").body == b"hello"
            assert runner.stop() == 0
            assert "Error" not in runner.text
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_clock_that_is_put_forward_cuts_nobody_off() -> None:
    with Runner("waitress", "--keepalive", "60") as runner, runner.client() as client:
        assert client.ask("/hello").body == b"hello"
        assert runner.ask("/jump").body == b"an hour later"
        client.sock.settimeout(1)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
        assert client.ask("/hello").body == b"hello"
        assert runner.stop() == 0


def test_head_that_trickles_in_has_client_timeout_in_all() -> None:
    with Runner("waitress", "--client-timeout", "0.6") as runner, runner.client() as client:
        since = time.monotonic()
        client.sock.settimeout(0.1)
        client.send("GET / HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            while True:
                assert time.monotonic() - since < 10
                client.send("x")
                with contextlib.suppress(TimeoutError):
                    if not client.sock.recv(1):
                        break
        assert time.monotonic() - since >= 0.6
        assert runner.stop() == 0
