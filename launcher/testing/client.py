"""HTTP clients that speak byte by byte: over TCP, unix sockets and TLS."""

import contextlib
import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

DEADLINE_S = 30.0
"""How long anybody waits for what must happen; a loaded machine is slow."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    """Names in lower case; values of the same name joined by a comma."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def connect(address: str, source: str = "") -> socket.socket:
    """Connect to `host:port`, `[::1]:port`, `:port`, `unix:/path` or `unix:@name`, from the IP address `source`."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(DEADLINE_S)
        try:
            sock.connect(re.sub("^@", "\0", address.removeprefix("unix:")))
        except BaseException:
            sock.close()
            raise
        return sock
    host, _, port = address.rpartition(":")
    where = (host.strip("[]") or "127.0.0.1", int(port))
    return socket.create_connection(where, DEADLINE_S, source_address=(source, 0) if source else None)


class Client:
    """One connection. What it asks and what it reads are two steps, so that a check can act in between."""

    def __init__(self, address: str, *, tls: ssl.SSLContext | None = None, source: str = "") -> None:
        self.sock = connect(address, source)
        if tls is not None:
            try:
                self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
            except BaseException:
                self.sock.close()
                raise

    def send(self, data: bytes | str) -> None:
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def get(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> None:
        """Send one request; `headers` are whole lines, Host and Content-Length are added."""
        length = [f"Content-Length: {len(body)}"] if body else []
        head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost", *length, *headers, "", ""])
        self.send(head.encode("latin-1") + body)

    def answer(self, method: str = "GET") -> Answer:
        """Read one answer. Raises ConnectionError where the server closes without one."""
        self.sock.settimeout(DEADLINE_S)
        response = http.client.HTTPResponse(self.sock, method=method)
        try:
            response.begin()
            body = response.read()
        finally:
            response.close()
        headers: dict[str, str] = {}
        for name, value in response.getheaders():
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known}, {value}"
        return Answer(response.status, headers, body)

    def ask(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Answer:
        self.get(target, *headers, method=method, body=body)
        return self.answer(method)

    def rest(self) -> bytes:
        """Read until the server closes; a reset is an end too."""
        self.sock.settimeout(DEADLINE_S)
        data = b""
        with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
            while piece := self.sock.recv(65536):
                data += piece
        return data

    def silent_for(self, seconds: float) -> bool:
        """Return whether nothing arrives for so long, not even the end: the one thing that takes a fixed time."""
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        return False

    def closed_after(self, since: float) -> float:
        """Wait for the server to close without another word; return the seconds since `since` (monotonic)."""
        rest = self.rest()
        assert rest == b"", f"instead of closing the server sent {rest[:200]!r}"
        return time.monotonic() - since

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def request(
    address: str,
    target: str,
    *,
    method: str = "GET",
    headers: Iterable[str] = (),
    body: bytes = b"",
    tls: ssl.SSLContext | None = None,
    source: str = "",
) -> Answer:
    """Ask one thing on a connection of its own."""
    with Client(address, tls=tls, source=source) as client:
        return client.ask(target, "Connection: close", *headers, method=method, body=body)
