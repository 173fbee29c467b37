"""The end of listening, where a server stops whose sockets are nobody else's.

The kernel resets whom it has accepted when a socket that listens is closed. Between a last look and the close there is
time enough for that, above all while threads are busy: so nobody is let in any more before the last look.
"""

import socket
from contextlib import suppress

IP_MINTTL = 21
IPV6_MINHOPCOUNT = 73
"""Source: ip(7); linux/in.h, linux/in6.h."""
MOST = 255
"""The greatest TTL. A usual packet begins with 64 or 128."""


def shut(listener: socket.socket) -> None:
    """Let nobody in any more; who has come in is accepted as ever.

    Whoever knocks at a TCP socket is not heard, knocks again a second later, and is refused then, or finds the next
    server: `shutdown` would reset those inside, but the kernel can drop packets for their TTL, and that needs no rights
    (tcp_v4_rcv in Linux's tcp_ipv4.c). A unix socket refuses at once (unix_accept in Linux's af_unix.c).
    """
    if listener.family == socket.AF_UNIX:
        listener.shutdown(socket.SHUT_RD)
    else:
        _hear(listener, MOST)


def hear(sock: socket.socket) -> None:
    """Take all packets of a connection: one that was being made when the door was shut has its listener's setting."""
    if sock.family != socket.AF_UNIX:
        _hear(sock, 0)


def _hear(sock: socket.socket, least: int) -> None:
    """Take only packets with such a TTL."""
    with suppress(OSError):  # a kernel that knows no such thing leaves the door open
        sock.setsockopt(socket.IPPROTO_IP, IP_MINTTL, least)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MINHOPCOUNT, least)
