"""Run the toy server: `python -P -m serve_toy [flags] MODULE:ATTRIBUTE`."""

import argparse
import importlib
import os
import selectors
import signal
import socket
from typing import IO, Any, cast
from wsgiref.headers import Headers
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication

from launcher.address import Address, parse_address
from launcher.sockets import Rights, listen


class Handler(ServerHandler):
    """wsgiref's, which says what it does: close."""

    headers: Headers | None

    def cleanup_headers(self) -> None:
        super().cleanup_headers()
        assert self.headers is not None
        self.headers["Connection"] = "close"


class RequestHandler(WSGIRequestHandler):
    """Answers one request."""

    server: "Server"

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.client_timeout)

    def handle(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        if self.headers["Transfer-Encoding"]:
            self.send_error(501)
            return
        streams = cast(tuple[IO[bytes], IO[bytes]], (self.rfile, self.wfile))
        handler = Handler(*streams, self.get_stderr(), self.get_environ(), multithread=False)
        handler.request_handler = self  # type: ignore[attr-defined]  # its close() logs through it
        application = self.server.get_app()
        assert application is not None
        handler.run(application)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: access_log is not ours."""


class Server(WSGIServer):
    """One listening socket, opened by somebody else."""

    def __init__(self, sock: socket.socket, application: WSGIApplication, client_timeout: float | None) -> None:
        super().__init__(("", 0), RequestHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self.client_timeout = client_timeout
        unix = sock.family == socket.AF_UNIX
        self.server_name, self.server_port = ("localhost", 80) if unix else sock.getsockname()[:2]
        self.setup_environ()
        self.set_app(application)

    def get_request(self) -> tuple[socket.socket, Any]:
        client, peer = super().get_request()
        return client, peer or ("", 0)


def read_flags() -> argparse.Namespace:
    words = argparse.ArgumentParser(prog="python -P -m serve_toy", allow_abbrev=False)
    words.add_argument("application")
    words.add_argument("--bind", action="append", default=[], type=parse_address)
    words.add_argument("--fd", action="append", default=[], type=int)
    words.add_argument("--socket-mode", type=lambda text: int(text, 8))
    words.add_argument("--backlog", type=int, default=128)
    words.add_argument("--reuse-port", action="store_true")
    words.add_argument("--graceful-timeout", type=float, default=30.0)
    words.add_argument("--client-timeout", type=float)
    return words.parse_args()


def main() -> None:
    flags = read_flags()
    paths = [path for path in os.environ.pop("LAUNCHER_UNLINK", "").split(os.pathsep) if path]
    stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True
        # The request in flight may end by itself until then.
        signal.setitimer(signal.ITIMER_REAL, max(flags.graceful_timeout, 0.001))

    def end(number: int, frame: object) -> None:
        remove(paths)
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGALRM, end)
    module, _, name = flags.application.partition(":")
    application = getattr(importlib.import_module(module), name)
    with selectors.DefaultSelector() as selector:
        for address in flags.bind or [Address("fd", fd=number) for number in flags.fd]:
            opened = listen(
                address, backlog=flags.backlog, rights=Rights(flags.socket_mode), reuse_port=flags.reuse_port
            )
            listener = socket.socket(fileno=opened.detach())
            if address.kind == "fd":
                os.close(address.fd)  # this one is a copy, and programs that the application starts do not get it
            if address.kind == "unix" and not address.abstract:
                paths.append(address.path)
            selector.register(Server(listener, application, flags.client_timeout), selectors.EVENT_READ)
        signal.set_wakeup_fd(wake_up(selector))
        while not stopping:
            for key, _ in selector.select():
                if isinstance(key.fileobj, Server) and not stopping:
                    key.fileobj._handle_request_noblock()  # type: ignore[attr-defined]  # socketserver's own loop does it
    remove(paths)


def wake_up(selector: selectors.BaseSelector) -> int:
    """Return a descriptor that ends a wait of `selector` when it is written to."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    selector.register(reader, selectors.EVENT_READ)
    return writer


def remove(paths: list[str]) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


if __name__ == "__main__":
    main()
