"""The flags that both runners take."""

import argparse
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..address import Address, parse_address
from ..sockets import Rights
from .identity import Identity, identity

MAX_REQUEST_LINE = 8190
LEVELS = ("debug", "info", "warning", "error", "critical")


class Options(argparse.Namespace):
    """What a runner was told. Times are in seconds, sizes in bytes; None leaves it to the server, 0 means never."""

    application: str
    bind: list[Address]
    fd: list[int]
    rights: Rights
    reuse_port: bool
    backlog: int
    workers: int
    preload: bool
    threads: int
    max_requests: int
    max_requests_jitter: int
    max_worker_age: float
    max_worker_memory: int
    worker_timeout: float
    client_timeout: float
    keepalive: float
    graceful_timeout: float
    drain_delay: float
    max_request_line: int
    max_header_size: int | None
    max_body_size: int | None
    log_level: str
    log_file: str | None
    pid_file: str | None
    identity: Identity | None
    process_name: str | None


class WaitressOptions(Options):
    """What the waitress runner was told."""

    max_connections: int | None
    native: list[tuple[str, str]]


class WsgirefOptions(Options):
    """What the wsgiref runner was told."""

    tls_cert: str | None
    tls_key: str | None
    tls_ca: str | None
    tls_client_cert: str | None


Told = TypeVar("Told", bound=Options)


def parser(server: str, *, threads: int) -> argparse.ArgumentParser:
    """Return a parser for what both runners share."""
    words = argparse.ArgumentParser(
        prog=f"python -P -m launcher.runners.{server}",
        description=f"Serve a WSGI application with {server}.",
        allow_abbrev=False,
    )
    add = words.add_argument
    add("application", metavar="MODULE:ATTRIBUTE", help="the WSGI callable")
    add("--bind", type=_address, action="append", default=[], metavar="ADDRESS")
    add("--fd", type=count(0), action="append", default=[], help="an inherited listening descriptor")
    add("--socket-mode", type=_mode, metavar="OCTAL", help="permission bits of unix sockets")
    add("--socket-owner", metavar="USER[:GROUP]", help="owner of unix sockets")
    add("--reuse-port", action="store_true", help="SO_REUSEPORT")
    add("--backlog", type=count(1), default=1024)
    add("--workers", type=count(1), default=1, help="processes that answer")
    add("--preload", action="store_true", help="load the application once, and fork the workers then")
    add("--max-requests", type=count(0), default=0, help="after which a worker is replaced")
    add("--max-requests-jitter", type=count(0), default=0, help="up to so many more")
    add("--max-worker-age", type=seconds, default=0.0, help="at which a worker is replaced")
    add("--max-worker-memory", type=count(0), default=0, metavar="BYTES", help="beyond which a worker is replaced")
    add("--worker-timeout", type=seconds, default=0.0, help="a worker that is silent for so long is killed")
    add("--threads", type=count(1), default=threads)
    add("--client-timeout", type=some_seconds, default=30.0, help="for a client that sends nothing while we wait")
    add("--keepalive", type=seconds, default=5.0, help="between two requests; 0 closes after each answer")
    add("--graceful-timeout", type=seconds, default=30.0, help="for requests in flight when asked to stop")
    add("--drain-delay", type=seconds, default=0.0, help="before a stop begins, while balancers learn of it")
    add("--max-request-line", type=count(1), default=MAX_REQUEST_LINE, metavar="BYTES", help="answered 414")
    add("--max-header-size", type=count(1), metavar="BYTES", help="request line and headers; answered 431")
    add("--max-body-size", type=count(0), metavar="BYTES", help="answered 413")
    add("--log-level", type=str.lower, choices=LEVELS, default="info")
    add("--log-file", metavar="PATH", help="- is standard output; standard error otherwise")
    add("--pid-file", metavar="PATH")
    add("--user", help="user to become once the sockets are open")
    add("--group", help="group to become; otherwise the user's own")
    add("--process-name", metavar="NAME", help="what ps shows; needs setproctitle")
    return words


def parse(words: argparse.ArgumentParser, argv: Sequence[str], told: Told) -> Told:
    """Read the flags into `told`; whatever is wrong with them ends the process with status 2."""
    words.parse_args(argv, told)
    if bool(told.bind) == bool(told.fd):
        words.error("either --bind or --fd must say where to listen, and not both")
    try:
        told.identity = identity(told.user, told.group)
        told.rights = _rights(told.socket_mode, told.socket_owner)
    except ValueError as error:
        words.error(str(error))
    return told


def _rights(mode: int | None, owner: str | None) -> Rights:
    rights = Rights.of(mode, owner)
    user, _, group = (owner or "").partition(":")
    if (user and rights.uid == -1) or (group and rights.gid == -1):
        raise ValueError(f"there is no owner '{owner}' for --socket-owner")
    return rights


def count(least: int) -> Callable[[str], int]:
    """Return a type for whole numbers from `least` on."""

    def whole(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} on")
        return int(text)

    return whole


def seconds(text: str) -> float:
    """Read a time that may be 0 and ends some day."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return value


def some_seconds(text: str) -> float:
    """Read a time that is longer than nothing."""
    value = seconds(text)
    if not value:
        raise argparse.ArgumentTypeError("0 would cut off everybody")
    return value


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' {error}") from error


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise argparse.ArgumentTypeError(f"'{text}' is not an octal mode such as 0660")
    return mode
