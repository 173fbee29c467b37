"""What has come on a connection, as far as the kernel knows."""

import select
import socket


def has_input(sock: socket.socket) -> bool:
    """Return whether there is something to read, if only the client's end: whom we have waited for may just ask."""
    poll = select.poll()
    if (descriptor := sock.fileno()) >= 0:  # a closed one has nothing
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
