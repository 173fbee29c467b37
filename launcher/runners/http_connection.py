"""A client's connection to the wsgiref runner, from one request to the next."""

import socket
import ssl
import time
from collections.abc import Callable
from io import BufferedReader
from typing import Any, NamedTuple
from wsgiref.handlers import format_date_time
from wsgiref.types import WSGIApplication

from .http_answer import Answer
from .http_head import Head, Refusal, cgi_variables
from .http_stream import ClientGone, ClientStream, open_body, read_head
from .plain_http import is_plain, refusal

LINGER_S = 2.0
"""How long a client may go on sending after it was refused, so that it comes to read why."""


class Limits(NamedTuple):
    """What a client may ask of us: seconds and bytes."""

    client_timeout: float
    keepalive: float
    max_request_line: int
    max_header_size: int
    max_body_size: int


class Connection:
    """One client. Only one thread has it at a time."""

    def __init__(self, sock: socket.socket, peer: Any, limits: Limits, tls: ssl.SSLContext | None) -> None:
        self.sock = sock
        self.stream = ClientStream(sock, limits.client_timeout)
        self.answered = False
        """Whether it has had a request."""
        self.took = False
        """Whether `attend` has met one the last time."""
        self.idle_since = time.monotonic()
        self.open = True
        self._limits = limits
        self._tls = tls
        self._variables = connection_variables(sock, peer, tls=tls is not None)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def has_input(self) -> bool:
        """Whether bytes are here that the kernel no longer knows of."""
        return bool(self.stream.unread) or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0)

    def attend(self, application: WSGIApplication, draining: Callable[[], bool]) -> None:
        """Do what the client waits for: a TLS handshake, or one request. Sets `open` to whether more may come."""
        linger = False
        self.open = self.took = False
        try:
            if self._tls and not isinstance(self.sock, ssl.SSLSocket):
                self.open = self._shake_hands(self._tls)
                linger = not self.open
            else:
                self.open, linger = self._exchange(application, draining)
        finally:
            self.idle_since = time.monotonic()
            if not self.open:
                self.close(linger)

    def _shake_hands(self, tls: ssl.SSLContext) -> bool:
        """Begin to speak TLS; return whether the client does."""
        self.sock.settimeout(self._limits.client_timeout)
        if is_plain(self.sock):
            self.sock.sendall(refusal(self.sock))
            return False
        self.sock = self.stream.sock = tls.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        self.sock.do_handshake()
        return True

    def _exchange(self, application: WSGIApplication, draining: Callable[[], bool]) -> tuple[bool, bool]:
        """Answer one request; return whether another may come, and else whether the client may still be sending."""
        stream, limits = self.stream, self._limits
        head: Head | None = None
        try:
            head = read_head(stream, limits.max_request_line, limits.max_header_size)
            if head is None:
                return False, False
            self.answered = self.took = True
            keep_alive = head.keep_alive and limits.keepalive > 0
            variables: dict[str, Any] = {**self._variables, **cgi_variables(head), "wsgi.input_terminated": True}
            body, size = open_body(stream, head, limits.max_body_size)
        except Refusal as refusal:
            self._refuse(refusal, with_body=head is None or head.method != "HEAD")
            return False, True
        except ClientGone:
            return False, False
        if size is not None:
            del variables["HTTP_TRANSFER_ENCODING"]
            variables["CONTENT_LENGTH"] = str(size)

        def may_keep_alive() -> bool:
            return keep_alive and body.can_end and not draining()

        answer = Answer(stream, head, BufferedReader(body), variables, may_keep_alive)
        answer.run(application)
        at_next = body.end(read_on=answer.keep_alive)
        return answer.keep_alive and at_next, not at_next

    def _refuse(self, refusal: Refusal, *, with_body: bool) -> None:
        status = refusal.status
        text = f"{status.phrase}: {refusal.reason}\n"
        self.stream.write(
            f"HTTP/1.1 {status} {status.phrase}\r\n"
            f"Date: {format_date_time(time.time())}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(text)}\r\n"
            "Connection: close\r\n"
            f"\r\n{text if with_body else ''}".encode("latin-1")
        )
        try:
            self.stream.flush()
        except ClientGone:
            pass

    def close(self, linger: bool = False) -> None:
        """Close; with `linger`, first let the client read what it was told, though it still sends."""
        self.open = False
        try:
            if isinstance(self.sock, ssl.SSLSocket):
                self._say_goodbye(self.sock)
            # Also before close(): a process that the application has forked may hold the connection open.
            self.sock.shutdown(socket.SHUT_WR)
            if linger:
                # Bytes that arrive at a closed socket destroy what the client has not read yet.
                deadline = time.monotonic() + min(LINGER_S, self._limits.client_timeout)
                while (left := deadline - time.monotonic()) > 0:
                    self.sock.settimeout(left)
                    if not self.sock.recv(65536):
                        break
        except OSError:
            pass
        finally:
            self.sock.close()

    def _say_goodbye(self, sock: ssl.SSLSocket) -> None:
        """Send the end mark of TLS, without a wait for the client's."""
        sock.settimeout(0)
        try:
            sock.unwrap()
        except (OSError, ValueError):
            pass


def connection_variables(sock: socket.socket, peer: Any, *, tls: bool) -> dict[str, str]:
    """Return what PEP 3333 has to say about the two ends; no name is looked up."""
    variables = {"HTTPS": "on"} if tls else {}
    if sock.family == socket.AF_UNIX:
        # Neither may be empty, and a socket file has nothing better to offer.
        variables.update(SERVER_NAME="localhost", SERVER_PORT="443" if tls else "80", REMOTE_ADDR="")
    else:
        name, port = sock.getsockname()[:2]
        variables.update(SERVER_NAME=name, SERVER_PORT=str(port), REMOTE_ADDR=peer[0], REMOTE_PORT=str(peer[1]))
    variables["SERVER_SOFTWARE"] = "wsgiref"
    return variables
