"""Sockets that systemd, or whoever speaks its protocol, has opened before us.

Source: sd_listen_fds(3), systemd 252.
"""

from __future__ import annotations

import _socket
import os

from .address import Address
from .errors import Finding
from .lean import TYPE_CHECKING, Record
from .origin import Layer, Origin, Setting
from .sockets import FIRST_DESCRIPTOR, bound_address, same_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


ORIGIN = Origin(Layer.ENVIRONMENT, "LISTEN_FDS", key="LISTEN_FDS")


class Passed(Record):
    """One descriptor that was passed to us."""

    fd: int
    name: str
    """FileDescriptorName= of the socket unit; `unknown` where nobody gave one."""
    address: Address | None
    """What it listens on; None where it is no listening socket."""

    def __str__(self) -> str:
        return f"{self.address or 'no listening socket'} (descriptor {self.fd}, {self.name})"


def passed_sockets(environ: Mapping[str, str], pid: int) -> tuple[Passed, ...]:
    """Return what was passed to the process `pid`, which must be this one; nothing where it was meant for another."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not (count.isascii() and count.isdigit()):
        return ()
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += ["unknown"] * (int(count) - len(names))
    return tuple(
        Passed(fd, name or "unknown", _listening_on(fd))
        for fd, name in zip(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)), names, strict=False)
    )


def _listening_on(fd: int) -> Address | None:
    try:
        sock = _socket.socket(fileno=os.dup(fd))
    except OSError:  # the store of a service may hold any file
        return None
    try:
        served = sock.family in (_socket.AF_UNIX, _socket.AF_INET, _socket.AF_INET6)
        listens = served and sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
        return bound_address(sock) if listens else None
    finally:
        sock.close()


def adopt(
    settings: Mapping[str, Setting[Any]], passed: Sequence[Passed]
) -> tuple[dict[str, Setting[Any]], list[Finding]]:
    """Return the settings that change, and what does not match.

    In `bind`, descriptors take the place of the addresses that they listen on; `fd://NAME` stands for every socket
    of that name. Addresses that only a shipped profile names, or nobody, give way to whatever was passed.
    """
    bind = settings["bind"]
    listening = [socket for socket in passed if socket.address is not None]
    asked: Sequence[Address] = (
        bind.value or () if bind.origin.personal else [Address("fd", fd=each.fd) for each in listening]
    )
    served: list[Address] = []
    met: set[int] = set()
    found: list[Finding] = []
    for address in asked:
        matching = [socket for socket in passed if _meant(address, socket)]
        met.update(socket.fd for socket in matching)
        # The same address twice is one socket that was also kept in the store of the service.
        for socket in matching if address.kind == "fd" else matching[:1]:
            served.append(Address("fd", fd=socket.fd))
            message = f"{socket} is served: it was passed in"
            found.append(Finding("passed-socket", message, "", ORIGIN, severity="note"))
        if not matching:
            served.append(address)
            message = f"{address} ({bind.origin}) is not among the sockets that were passed in: serve opens it"
            found.append(Finding("socket-not-passed", message, "", ORIGIN, severity="warning"))
    for socket in passed:
        if socket.fd not in met:
            message = f"{socket} is closed: bind does not name it"
            fix = "Name its address in bind, or take it out of the socket unit." if socket.address else ""
            found.append(Finding("socket-not-served", message, fix, ORIGIN, severity="warning"))
    if not met:
        return {}, found
    # Whoever opened a socket has decided whether its port is shared; with --reuse-port gunicorn 27.0.1 opens its own.
    return {"bind": _over(bind, tuple(served)), "reuse_port": _over(settings["reuse_port"], False)}, found


def _over(below: Setting[Any], value: Any) -> Setting[Any]:
    return Setting(value, ORIGIN, (below._replace(shadowed=()), *below.shadowed))


def _meant(address: Address, socket: Passed) -> bool:
    if address.kind == "fd":
        return address.path == socket.name if address.path else address.fd == socket.fd
    return socket.address is not None and same_place(address, socket.address)
