"""gunicorn, with a threaded worker of ours. Facts: gunicorn 27.0.1, held by live tests."""

from __future__ import annotations

from ..backend import Backend
from ..kinds import Mode
from ..lean import TYPE_CHECKING
from ..native import Refusal, Words, compute, each, flag, hook, switch, whole_seconds
from ..options import Options

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


IN_WORKER = "our subclass of gunicorn's threaded worker does it"
IN_THREADS = (
    "the client is cut off, with 503 where nothing was sent; the thread goes on until its worker is replaced, "
    "which is done at once, and takes graceful_timeout at most"
)
IN_MASTER = "our subclass of gunicorn's arbiter does it"


def _at_most(limit: int) -> Callable[[Any, Options], None]:
    def check(value: Any, options: Options) -> None:
        if value > limit:
            raise Refusal(f"it silently cuts it to {limit}", f"Give at most {limit}.")

    return check


def _socket_mode(value: int, options: Options) -> Words:
    # gunicorn's --umask masks its sockets only; a leading 0 makes it octal.
    return ("--umask", Mode().show(0o777 & ~value))


def _client_cert(value: str, options: Options) -> Words:
    return ("--cert-reqs", "2" if value == "required" else "1")  # ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL


def _log_file(value: str, options: Options) -> Words:
    return () if value == "-" else ("--error-logfile", value)


def _always(options: Options) -> Words:
    return (
        # On by default at one path for all gunicorns of a user, which take it from each other.
        "--no-control-socket",
        # A heartbeat file on a slow disk stalls its worker; this is memory.
        "--worker-tmp-dir", "/dev/shm",
        # Schemes are decided by trusted_proxies, the same way on every server.
        "--forwarded-allow-ips", "",
    )  # fmt: skip


CONFIG = "Write each of its settings as an option, or in [native.gunicorn]."
HOOKS = (
    "on_starting", "on_reload", "when_ready", "pre_fork", "post_fork", "post_worker_init", "worker_int", "worker_abort",
    "pre_exec", "pre_request", "post_request", "child_exit", "worker_exit", "nworkers_changed", "on_exit",
    "ssl_context", "on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit",
)  # fmt: skip
"""Settings that are functions. Source: gunicorn.config of 27.0.1."""

BACKEND = Backend(
    name="gunicorn",
    summary="pre-forking; threaded workers",
    distribution="gunicorn",
    brought_by="wsgi-launcher[gunicorn]",
    minimum=(25, 1),
    # Not `-m gunicorn`: 27.0.1 puts the working directory first on sys.path before it imports our hooks, and a
    # project's own package called launcher would take our place.
    program=(
        "-m",
        "launcher.runners.gunicorn",
        "--config",
        "python:launcher.runners.gunicorn",
        "--worker-class",
        "launcher.runners.gthread.Worker",
    ),
    always=_always,
    gives_lengths=False,
    shut_out=(
        "GUNICORN_CMD_ARGS",
        "GUNICORN_FD",
        "GUNICORN_PID",
        "FORWARDED_ALLOW_IPS",
        "SENDFILE",
        "WEB_CONCURRENCY",
        "SCRIPT_NAME",
        "PORT",
    ),
    shut_out_files=("gunicorn.conf.py",),
    hook_variable="LAUNCHER_GUNICORN",
    # A start has messages of lesser levels. A worker's timeout counts from its first sign of life (27.0.1).
    stands_by=lambda options: options.log_level in ("warning", "error", "critical"),
    descriptor=None,
    reserved={
        "config": CONFIG,
        "c": CONFIG,
        **dict.fromkeys(HOOKS, "It is a function: do the same in the application, or in middleware."),
        "worker_class": "Its threaded worker is what these options are measured on.",
        "k": "Its threaded worker is what these options are measured on.",
        "pythonpath": "Use python_path.",
        "raw_env": "Use env.",
        "e": "Use env.",
        "wsgi_app": "Use app.",
        "daemon": "Let systemd or a container run it.",
        "D": "Let systemd or a container run it.",
        "forwarded_allow_ips": "Use trusted_proxies.",
        "access_logfile": "Use access_log.",
        "accesslog": "Use access_log.",
        "m": "Use umask or socket_mode.",
        "check_config": "Use serve check.",
        "print_config": "Use serve explain.",
    },
    rules={
        "bind": each("--bind", "-b"),
        "protocol": flag("--protocol"),
        "socket_mode": compute(_socket_mode).but("by hand also execute bits are masked as given"),
        "socket_owner": compute(lambda value, options: ())._replace(
            how="supplied", note="serve opens the socket and sets its owner"
        ),
        "backlog": flag("--backlog"),
        "reuse_port": switch("--reuse-port").but("each worker opens a socket of its own"),
        "workers": flag("--workers", "-w"),
        "threads": flag("--threads"),
        "max_connections": flag("--worker-connections"),
        "preload": switch("--preload", aliases=["preload_app"]),
        "request_timeout": hook("request_timeout", IN_THREADS),
        "worker_timeout": flag("--timeout", "-t").only(whole_seconds),
        "graceful_timeout": flag("--graceful-timeout").only(whole_seconds),
        "drain_delay": hook("drain_delay", IN_MASTER),
        "keepalive": flag("--keep-alive", "keepalive").only(whole_seconds),
        "client_timeout": hook("client_timeout", IN_WORKER),
        "max_requests": flag("--max-requests"),
        "max_requests_jitter": flag("--max-requests-jitter"),
        "max_worker_age": hook("max_worker_age", IN_WORKER),
        "max_worker_memory": hook("max_worker_memory", IN_WORKER),
        "user": flag("--user", "-u").but("the main process stays root")._replace(hook="initgroups_user"),
        "group": flag("--group", "-g").but("the main process stays root"),
        "pid_file": flag("--pid", "-p", "pidfile"),
        "process_name": flag("--name", "-n", "proc_name").but("needs the package setproctitle"),
        "tls_cert": flag("--certfile"),
        "tls_key": flag("--keyfile"),
        "tls_ca": flag("--ca-certs"),
        "tls_client_cert": compute(_client_cert, "--cert-reqs"),
        "max_request_line": flag("--limit-request-line").only(_at_most(8190)),
        "max_header_size": flag("--limit-request-field_size"),
        "log_level": flag("--log-level", "loglevel"),
        "log_file": compute(_log_file, "--error-logfile", "--log-file", "errorlog")._replace(
            hook="log_file", wordless="a hook of ours points standard error to it"
        ),
    },
)
