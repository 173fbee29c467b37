"""Words to systemd, or to whoever else listens on NOTIFY_SOCKET."""

import errno
import os
import socket
from collections.abc import Mapping

SEND_S = 1.0

MANAGED_BY = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables between a service manager and the main process of a service: no other process is to have them."""


def notify(*lines: str, environ: Mapping[str, str]) -> bool:
    """Send lines such as `READY=1` in one message, and return whether anybody asked for them.

    Without NOTIFY_SOCKET, or with an empty one, nothing happens. Raises OSError where the socket that it names
    cannot be reached. Source: sd_notify(3), systemd 257; of its address families, unix paths and abstract names.
    """
    return _send("\n".join(lines), (), environ)


def tell(*lines: str, environ: Mapping[str, str]) -> None:
    """Say something to systemd, if it asked: a server does not fail because nobody listened."""
    try:
        notify(*lines, environ=environ)
    except OSError:
        pass


def keep(name: str, descriptor: int, *, environ: Mapping[str, str]) -> bool:
    """Leave a descriptor in the store of the service, to be passed in at its next start under this name.

    Returns whether the service has a store: FDSTORE has its size, set by systemd from version 254 on, and by our units.
    Raises OSError. Source: sd_notify(3) and systemd.service(5), FileDescriptorStoreMax=, systemd 257.
    """
    size = environ.get("FDSTORE", "")
    if not (size.isdigit() and int(size)):
        return False
    return _send(f"FDSTORE=1\nFDNAME={name}", (descriptor,), environ)


def forget(name: str, *, environ: Mapping[str, str]) -> None:
    """Take descriptors of this name out of the store. Raises OSError."""
    notify("FDSTOREREMOVE=1", f"FDNAME={name}", environ=environ)


def _send(text: str, descriptors: tuple[int, ...], environ: Mapping[str, str]) -> bool:
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address[0] not in "/@":
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT), address)
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SEND_S)  # nobody may be reading
        sock.connect(address)
        socket.send_fds(sock, [text.encode()], descriptors)
    return True
