"""Take address and scheme of the client from trusted proxies, and from nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

UNIX_PEERS = frozenset(("", "localhost", "0.0.0.0"))
"""REMOTE_ADDR on a unix socket: gunicorn 27.0.1, waitress 3.0.2, uWSGI 2.0.30. None is that of a TCP peer."""

REMEMBERED = 1024
"""Verdicts kept of peers, and of hops: clients can make up addresses, so there is a bound."""

LONGEST_HOP = 64
"""Characters of an address with its brackets, zone and port; what is longer is none."""


def trust_proxies(app: WSGIApplication, trusted: Iterable[str], *, tls: bool) -> WSGIApplication:
    """Set REMOTE_ADDR and wsgi.url_scheme from X-Forwarded-For and -Proto where the peer is trusted.

    From any other peer the forwarding headers are removed. The scheme is set in any case: uWSGI 2.0.30
    believes X-Forwarded-Proto and X-Forwarded-SSL from anyone. `tls`: the server itself speaks TLS.
    `trusted` holds addresses, networks, `unix` and `*`; raises ValueError for what is none of these.
    """
    trust = Trust(trusted)
    own_scheme = "https" if tls else "http"

    def behind_proxies(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        peer = environ.get("REMOTE_ADDR", "")
        passes = trust.peers.get(peer)
        if passes is None:
            passes = trust.peer(peer)
        scheme = own_scheme
        if passes:
            forwarded = environ.get("HTTP_X_FORWARDED_FOR")
            if forwarded:
                client = trust.client(forwarded)
                if client:
                    environ["REMOTE_ADDR"] = client
                    # They are the proxy's; waitress 3.0.2 sets REMOTE_HOST to the address.
                    environ.pop("REMOTE_PORT", None)
                    environ.pop("REMOTE_HOST", None)
            proto = environ.get("HTTP_X_FORWARDED_PROTO")
            if proto:
                proto = proto.rpartition(",")[2].strip().lower()
                if proto in ("https", "http"):
                    scheme = proto
        else:
            # One search instead of one for every key: nearly no request from outside has any of these.
            if "HTTP_X_REAL_IP" in environ or "FORWARDED" in " ".join(environ):
                _strip(environ)
        environ["wsgi.url_scheme"] = scheme
        if scheme == "https":
            environ["HTTPS"] = "on"
        elif "HTTPS" in environ:
            del environ["HTTPS"]
        return app(environ, start_response)

    return behind_proxies


def _strip(environ: WSGIEnvironment) -> None:
    for key in [key for key in environ if "FORWARDED" in key or key == "HTTP_X_REAL_IP"]:
        if key.startswith("HTTP_X_") or key == "HTTP_FORWARDED":
            del environ[key]


class Trust:
    """Which addresses are trusted, with the verdicts given so far."""

    def __init__(self, trusted: Iterable[str]) -> None:
        from ipaddress import ip_network

        entries = set(trusted)
        self._everybody = "*" in entries
        self._unix = self._everybody or "unix" in entries
        try:
            self._networks = [ip_network(entry) for entry in sorted(entries - {"*", "unix"})]
        except ValueError as error:
            raise ValueError(f"trusted_proxies: {error}") from error
        self.peers: dict[str, bool] = {}
        self._hops: dict[str, tuple[str, bool]] = {}

    def peer(self, text: str) -> bool:
        """Judge a REMOTE_ADDR, and remember."""
        if text in UNIX_PEERS:
            passes = self._unix
        else:
            address = _address(text)
            passes = self._everybody or (address is not None and self._holds(address))
        if len(self.peers) >= REMEMBERED:
            self.peers.clear()
        self.peers[text] = passes
        return passes

    def client(self, forwarded: str) -> str:
        """Return the first address that is not trusted, read from the right; the last known one if all are.

        Empty where the nearest hop is no address.
        """
        client = ""
        for hop in reversed(forwarded.split(",")):
            address, passes = self._hops.get(hop) or self._hop(hop)
            client = address or client
            if not passes:
                break
        return client

    def _hop(self, text: str) -> tuple[str, bool]:
        """Judge one entry of X-Forwarded-For: its address, empty if it has none, and whether to read on."""
        bare = text.strip()
        address = _address(bare) if len(bare) <= LONGEST_HOP else None
        if address is not None:
            verdict = str(address), self._everybody or self._holds(address)
        else:
            # nginx 1.22 writes `unix:` for a client that came by a unix socket.
            verdict = "", not bare or (bare == "unix:" and self._unix)
        if len(text) <= LONGEST_HOP:
            if len(self._hops) >= REMEMBERED:
                self._hops.clear()
            self._hops[text] = verdict
        return verdict

    def _holds(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, with or without brackets and port; None where it is none.

    An IPv4 peer of an IPv6 socket (`::ffff:10.0.0.1`) is the IPv4 address.
    """
    from ipaddress import ip_address

    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
