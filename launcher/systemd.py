"""Words to systemd, or to whoever else listens on NOTIFY_SOCKET."""

import errno
import os
import socket
from collections.abc import Mapping


def notify(*lines: str, environ: Mapping[str, str]) -> bool:
    """Send lines such as `READY=1` in one message, and return whether anybody asked for them.

    Without NOTIFY_SOCKET, or with an empty one, nothing happens. Raises OSError where the socket that it names
    cannot be reached. Source: sd_notify(3), systemd 257; of its address families, unix paths and abstract names.
    """
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address[0] not in "/@":
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT), address)
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.sendall("\n".join(lines).encode())
    return True
