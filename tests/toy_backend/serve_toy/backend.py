"""What `serve` has to know about the toy server."""

from typing import Any

from launcher.backend import Backend
from launcher.native import Refusal, Words, compute, each, flag, impossible, switch
from launcher.options import Options

ONE_AT_A_TIME = "it answers one request at a time"
NEVER_REPLACED = "nothing would replace its only process"
NO_TLS = "it has no TLS"
FIXED = "its limit of 64 KiB cannot be set"
NO_LOG = "it logs nothing but tracebacks, to standard error"


def _one(value: Any) -> bool:
    return bool(value == 1)


def _never(value: Any) -> bool:
    return False


def _keepalive(value: float, options: Options) -> Words:
    if value:
        raise Refusal("it closes after each answer", 'Say keepalive = "off".')
    return ()


BACKEND = Backend(
    name="toy",
    summary="one process, one request at a time; a toy",
    distribution="serve-toy",
    minimum=(0, 1),
    program=("-m", "serve_toy"),
    notifies="",
    production=False,
    rules={
        "bind": each("--bind"),
        "protocol": impossible("it speaks HTTP only", harmless=lambda value: bool(value == "http")),
        "socket_mode": flag("--socket-mode", value=lambda value: f"{value:04o}"),
        "socket_owner": impossible("it never changes an owner"),
        "backlog": flag("--backlog"),
        "reuse_port": switch("--reuse-port"),
        "workers": impossible("it is one process", harmless=_one),
        "threads": impossible(ONE_AT_A_TIME, harmless=_one),
        "max_connections": impossible(ONE_AT_A_TIME, harmless=_never),
        "preload": switch().but("one process: the application is loaded once either way"),
        "request_timeout": impossible("it waits for the application as long as that takes"),
        "worker_timeout": impossible("nothing watches its only process"),
        "graceful_timeout": flag("--graceful-timeout"),
        "drain_delay": impossible("it stops at once"),
        "keepalive": compute(_keepalive),
        "client_timeout": flag("--client-timeout"),
        "max_requests": impossible(NEVER_REPLACED),
        "max_requests_jitter": impossible(NEVER_REPLACED),
        "max_worker_age": impossible(NEVER_REPLACED),
        "max_worker_memory": impossible(NEVER_REPLACED),
        "user": impossible("it stays who it is"),
        "group": impossible("it stays who it is"),
        "pid_file": impossible("it writes no pid file"),
        "process_name": impossible("it keeps its title"),
        "tls_cert": impossible(NO_TLS),
        "tls_key": impossible(NO_TLS),
        "tls_ca": impossible(NO_TLS),
        "tls_client_cert": impossible(NO_TLS),
        "max_request_line": impossible(FIXED, harmless=_never),
        "max_header_size": impossible(FIXED, harmless=_never),
        "log_level": impossible(NO_LOG, harmless=_never),
        "log_file": impossible(NO_LOG, harmless=_never),
    },
)
