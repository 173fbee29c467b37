"""launcher.middleware.proxies: whose word is taken for address and scheme."""

from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from launcher.middleware import proxies
from launcher.middleware.proxies import Trust, trust_proxies
from tests.exchange import call, hello, make_environ

FORWARDING: dict[str, Any] = {
    "HTTP_X_FORWARDED_FOR": "198.51.100.7",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "evil.example",
    "HTTP_X_FORWARDED_SSL": "on",
    "HTTP_X_FORWARDED": "for=1",
    "HTTP_FORWARDED": "for=198.51.100.7",
    "HTTP_X_REAL_IP": "198.51.100.7",
}


def seen(trusted: list[str], *, tls: bool = False, **changes: Any) -> dict[str, Any]:
    """Return the environ that the application sees."""
    environ = make_environ(**changes)
    assert call(trust_proxies(hello, trusted, tls=tls), environ).body == b"hello"
    return environ


class TestUntrustedPeer:
    def test_loses_every_forwarding_header(self) -> None:
        environ = seen(["10.0.0.1"], **FORWARDING, HTTP_X_FORWARDER="kept")
        assert not set(FORWARDING) & set(environ)
        assert environ["HTTP_X_FORWARDER"] == "kept"
        assert environ["REMOTE_ADDR"] == "192.0.2.1"

    @pytest.mark.parametrize("key", sorted(FORWARDING))
    def test_loses_each_forwarding_header_alone(self, key: str) -> None:
        assert key not in seen([], **{key: FORWARDING[key]})

    @pytest.mark.parametrize("scheme", ["https", "HTTPS", "https, http", "javascript"])
    def test_scheme_that_uwsgi_took_from_the_header_is_put_right(self, scheme: str) -> None:
        environ = seen([], wsgi_url_scheme=scheme, HTTPS="on", HTTP_X_FORWARDED_PROTO=scheme)
        assert environ["wsgi.url_scheme"] == "http"
        assert "HTTPS" not in environ

    def test_scheme_is_https_where_the_server_speaks_tls(self) -> None:
        environ = seen([], tls=True, HTTP_X_FORWARDED_PROTO="http")
        assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")


class TestTrustedPeer:
    def test_sets_address_and_scheme(self) -> None:
        environ = seen(["192.0.2.1"], **FORWARDING, REMOTE_PORT="4711", REMOTE_HOST="192.0.2.1")
        assert environ["REMOTE_ADDR"] == "198.51.100.7"
        assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
        assert "REMOTE_PORT" not in environ
        assert "REMOTE_HOST" not in environ
        assert environ["HTTP_X_FORWARDED_HOST"] == "evil.example"

    def test_without_headers_nothing_changes(self) -> None:
        environ = seen(["192.0.2.0/24"], REMOTE_PORT="4711")
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.1", "4711")
        assert environ["wsgi.url_scheme"] == "http"

    @pytest.mark.parametrize(
        ("proto", "scheme"),
        [
            ("https", "https"),
            ("HTTPS", "https"),
            ("http", "http"),
            ("http, https", "https"),
            ("https, http", "http"),
            ("https,", "http"),
            ("ftp", "http"),
            ("javascript", "http"),
            ("", "http"),
        ],
    )
    def test_rightmost_scheme_counts_and_only_the_two(self, proto: str, scheme: str) -> None:
        environ = seen(["*"], HTTP_X_FORWARDED_PROTO=proto, wsgi_url_scheme=proto)
        assert environ["wsgi.url_scheme"] == scheme
        assert environ.get("HTTPS") == ("on" if scheme == "https" else None)

    def test_proxy_may_say_http_to_a_server_that_speaks_tls(self) -> None:
        assert seen(["*"], tls=True, HTTP_X_FORWARDED_PROTO="http")["wsgi.url_scheme"] == "http"

    @pytest.mark.parametrize(
        ("forwarded", "client"),
        [
            ("203.0.113.5", "203.0.113.5"),
            ("1.1.1.1, 203.0.113.5", "203.0.113.5"),
            ("1.1.1.1, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
            ("1.1.1.1,203.0.113.5,10.0.0.2,10.0.0.1", "203.0.113.5"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("203.0.113.5, , ", "203.0.113.5"),
            ("203.0.113.5:4711", "203.0.113.5"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("::ffff:203.0.113.5", "203.0.113.5"),
            ("203.0.113.5, ::ffff:10.0.0.2", "203.0.113.5"),
            ("203.0.113.5, unknown, 10.0.0.2", "10.0.0.2"),
            ("203.0.113.5, unknown", "192.0.2.1"),
            ("<script>", "192.0.2.1"),
            ("203.0.113.5, unix:", "192.0.2.1"),
            ("1" * 5000, "192.0.2.1"),
            (" , ", "192.0.2.1"),
        ],
    )
    def test_address_is_the_first_untrusted_from_the_right(self, forwarded: str, client: str) -> None:
        trusted = ["192.0.2.1", "10.0.0.0/8"]
        assert seen(trusted, HTTP_X_FORWARDED_FOR=forwarded)["REMOTE_ADDR"] == client

    def test_hop_over_a_unix_socket_is_passed_where_those_are_trusted(self) -> None:
        environ = seen(["unix"], REMOTE_ADDR="", HTTP_X_FORWARDED_FOR="203.0.113.5, unix:")
        assert environ["REMOTE_ADDR"] == "203.0.113.5"

    def test_everybody_trusted_means_the_leftmost_address(self) -> None:
        assert seen(["*"], HTTP_X_FORWARDED_FOR="1.1.1.1, 2.2.2.2")["REMOTE_ADDR"] == "1.1.1.1"


class TestWhoIsTrusted:
    @pytest.mark.parametrize("peer", ["", "localhost", "0.0.0.0", None])
    def test_unix_peer_by_whatever_name_the_server_gives_it(self, peer: str | None) -> None:
        assert seen(["unix"], REMOTE_ADDR=peer, **FORWARDING)["REMOTE_ADDR"] == "198.51.100.7"
        assert seen(["*"], REMOTE_ADDR=peer, **FORWARDING)["REMOTE_ADDR"] == "198.51.100.7"
        assert "HTTP_X_FORWARDED_FOR" not in seen(["127.0.0.1", "::1"], REMOTE_ADDR=peer, **FORWARDING)

    @pytest.mark.parametrize(
        ("trusted", "peer", "passes"),
        [
            ("127.0.0.1", "127.0.0.1", True),
            ("127.0.0.1", "127.0.0.2", False),
            ("127.0.0.1", "127.0.0.10", False),
            ("10.0.0.0/8", "10.255.0.1", True),
            ("10.0.0.0/8", "11.0.0.1", False),
            ("10.0.0.0/8", "::ffff:10.1.2.3", True),
            ("2001:db8::/32", "2001:db8::5", True),
            ("2001:db8::/32", "2001:db9::5", False),
            ("::1", "::1", True),
            ("fe80::/10", "fe80::1%eth0", True),
            ("unix", "127.0.0.1", False),
            ("*", "whatever", True),
            ("10.0.0.0/8", "whatever", False),
        ],
    )
    def test_addresses_and_networks(self, trusted: str, peer: str, passes: bool) -> None:
        assert Trust([trusted]).peer(peer) is passes

    @pytest.mark.parametrize("entry", ["localhost", "10.0.0.1/8", "10.0.0.0/33", ""])
    def test_what_is_no_network_is_refused(self, entry: str) -> None:
        with pytest.raises(ValueError, match="trusted_proxies: "):
            trust_proxies(hello, [entry], tls=False)


def test_verdicts_are_remembered_within_bounds() -> None:
    trust = Trust(["10.0.0.0/8"])
    for number in range(3 * proxies.REMEMBERED):
        peer = f"10.0.{number // 256}.{number % 256}"
        assert trust.peer(peer)
        assert trust.client(f"203.0.113.5,{peer}") == "203.0.113.5"
    trust.client(f"203.0.113.5, {'x' * 9000}")
    assert len(trust.peers) <= proxies.REMEMBERED
    assert len(trust._hops) <= proxies.REMEMBERED
    assert max(map(len, trust._hops)) <= proxies.LONGEST_HOP


def test_result_is_handed_on_as_it_is() -> None:
    result = [b"hello"]

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return result

    answer = call(trust_proxies(app, [], tls=False))
    assert answer.result is result
