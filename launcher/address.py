"""Addresses a server can listen on."""

from __future__ import annotations

from .lean import Record

UNIX_PATH_LIMIT = 107
"""Bytes of a unix socket's path, without the closing NUL. Source: unix(7)."""


class Address(Record):
    """One listening address: exactly one of TCP (`host`, `port`), `path` and `fd` is meant."""

    kind: str
    """`tcp`, `unix` or `fd`."""
    host: str = ""
    """Empty means every interface."""
    port: int = 0
    path: str = ""
    """Of a unix socket; `@name` is Linux's abstract name space. Of a descriptor, the name it is passed under."""
    fd: int = -1
    """-1 where only the name says which."""

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "fd":
            return f"fd://{self.path or self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def abstract(self) -> bool:
        return self.path.startswith("@")

    @property
    def url(self) -> str:
        """What a person can open in a browser, without scheme; empty where there is no such thing."""
        if self.kind != "tcp":
            return ""
        if self.host in ("", "0.0.0.0", "::"):
            return f"localhost:{self.port}"
        return str(self)


def parse_address(text: str) -> Address:
    """Read `host:port`, `:port`, `[::1]:port`, `unix:/path`, `unix:@name`, `fd://3` or `fd://name`.

    Raises ValueError with one sentence that says what is wrong.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path.removeprefix("//") if path.startswith("///") else path  # unix:///path, as URLs spell it
        if not path or path == "@":
            raise ValueError("names no socket path")
        if "\0" in path:
            raise ValueError("has a NUL in the socket path")
        return Address("unix", path=path)
    if text.startswith("fd:"):
        name = text.removeprefix("fd:").removeprefix("//")
        if name.isascii() and name.isdigit():
            return Address("fd", fd=int(name))
        # Source: systemd.socket(5), FileDescriptorName=, systemd 252.
        if not name.isascii() or not name.isprintable() or ":" in name or not 0 < len(name) < 256:
            raise ValueError("is no descriptor: write fd://3, or fd://NAME for one that systemd passes by name")
        return Address("fd", path=name)
    if "/" in text or text.startswith("@"):
        raise ValueError(f"is not an address: a socket path is written unix:{text}")
    host, colon, port = text.rpartition(":")
    if not colon:
        if text.isascii() and text.isdigit():
            raise ValueError(f"names no host: write 127.0.0.1:{text}, or :{text} for every interface")
        raise ValueError("is not host:port, :port, [::1]:port, unix:/path or fd://3")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"is an IPv6 address without brackets: write [{host}]:{port}")
    if any(character.isspace() or character in "\0[]" for character in host):
        raise ValueError(f"has a host name {host!r} that cannot be one")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"has no port number from 0 to 65535 after the colon: {port!r}")
    return Address("tcp", host=host, port=int(port))
