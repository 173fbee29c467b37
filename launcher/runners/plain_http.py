"""What a client is told that speaks plain HTTP where HTTPS is spoken."""

import socket

from ..sockets import bound_address


def is_plain(sock: socket.socket) -> bool:
    """Wait for the first byte; return whether it is a letter, as of a method. TLS begins with 22 (RFC 8446, 5.1)."""
    return sock.recv(1, socket.MSG_PEEK).isalpha()


def refusal(sock: socket.socket) -> bytes:
    """Return an answer that names the address as it should have been."""
    url = bound_address(sock).url
    text = f"This port speaks HTTPS: https://{url}\n" if url else "This socket speaks HTTPS.\n"
    return (
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}"
    ).encode()
