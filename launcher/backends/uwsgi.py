"""uWSGI, by the pyuwsgi wheel. Facts: uWSGI 2.0.30, held by live tests."""

from __future__ import annotations

import math
import sys

from ..backend import BOUND_TO_THE_PROCESS, Backend
from ..lean import TYPE_CHECKING
from ..native import Refusal, Words, compute, flag, hook, impossible, some_time, switch, whole_seconds
from ..options import Options

if TYPE_CHECKING:
    from typing import Any

    from ..address import Address


NO_TLS = "the pyuwsgi wheel is built without TLS"
RELOADS = "The reload needs it."

SPARE_SLOTS = 2
"""Slots beyond the workers'. A reload takes one for the worker that comes first with the new code; in the other waits
the next reload, so that of two signals the later one is never lost to the earlier."""

LONGEST_S = 86400
"""What the router gives a request. Its --http-timeout counts while the application works: it is none of client_timeout,
which the workers keep for a client that falls silent within a request."""

HEADER_SIZE = 8190
"""Of the longest header where the server decides: what `prod` says. uWSGI's own 4096 bytes for the whole head are less
than the cookies of a machine on which sites are developed."""

LARGEST_BUFFER = 65535
"""uWSGI 2.0.30 counts it in 16 bits."""

SMALLEST_VARIABLE = 10
"""Bytes in that buffer: two lengths, `HTTP_`, and a name of one letter without a value."""


def _against_router(options: Options) -> Refusal | None:
    """Return why uWSGI's router cannot have the connections, and hand requests to the workers."""
    if options.protocol == "uwsgi":
        return Refusal("the uwsgi protocol has one request on each connection", 'Say keepalive = "off".')
    if options.preload:
        # A thread of ours tells the router to stop. It cannot begin where threads of the application were forked.
        return Refusal("its main process has loaded the application", 'Say preload = false, or keepalive = "off".')
    if len({_family(address) for address in options.bind or ()}) > 1:
        # Its accept would be given the length of the address before (uWSGI 2.0.30).
        reason = "its router takes one client's address for another's where it listens at addresses of several kinds"
        return Refusal(reason, 'Bind one kind (IPv4, IPv6 or unix), or say keepalive = "off".')
    return None


def _family(address: Address) -> str:
    if address.kind != "tcp":
        return str(address) if address.kind == "fd" else "unix"
    if address.host and not address.host.strip(".0123456789"):
        return "IPv4"
    return "IPv6" if not address.host or ":" in address.host else address.host


def _routed(options: Options) -> bool:
    return bool(options.keepalive) and _against_router(options) is None


def _front(options: Options) -> str:
    return "--socket" if options.protocol == "uwsgi" else "--http" if _routed(options) else "--http-socket"


def _bind(value: Any, options: Options) -> Words:
    words: list[str] = []
    for address in value:
        if address.kind == "tcp" and not address.host:
            text = f"[::]:{address.port}"
        else:
            text = address.path if address.kind == "unix" else str(address)
        words += (_front(options), text)
    return tuple(words)


def _descriptor(fd: int, options: Options) -> Words:
    return (_front(options), f"fd://{fd}")


def _keepalive(value: float, options: Options) -> Words:
    if not value:
        return ()
    if refusal := _against_router(options):
        raise refusal
    # The router takes 1 as "without an end" (uWSGI 2.0.30).
    seconds = max(2, math.ceil(value))
    return (
        f"--http-keepalive={seconds}", "--http-timeout", str(LONGEST_S), "--http-manage-expect", "--http-chunked-input"
    )  # fmt: skip


def _client_timeout(value: float, options: Options) -> Words:
    some_time(value, options)
    whole_seconds(value, options)
    seconds = str(int(value))
    return ("--socket-timeout", seconds, *(("--http-headers-timeout", seconds) if _routed(options) else ()))


def _one_thread(value: float, options: Options) -> None:
    whole_seconds(value, options)
    if value and (options.threads or 1) > 1:
        reason = "with several threads any answer resets the clock of all"
        raise Refusal(reason, "Say threads = 1, or remove the key.")


def _against_gevent(options: Options) -> Refusal | None:
    if (options.threads or 1) > 1:
        # Two requests at a time share their variables, and the worker dies of it (uWSGI 2.0.30).
        return Refusal("its loop takes requests for one another where there are several threads", "Say threads = 1.")
    return None


def _line(value: int, options: Options) -> None:
    if options.protocol == "uwsgi":
        raise Refusal("the front server reads the line", "Remove the key, and set that server's own limit.")
    if value > LARGEST_BUFFER // 3:
        raise Refusal("its buffer cannot hold the line twice", f"Give at most {LARGEST_BUFFER // 3}.")


def _header_size(value: int, options: Options) -> Words:
    if not 0 < value <= LARGEST_BUFFER:
        raise Refusal(f"its buffer ends at {LARGEST_BUFFER} bytes", f"Give at most {LARGEST_BUFFER}.")
    return _buffer(value, options)


def _buffer(header_size: int, options: Options) -> Words:
    # One buffer holds the request line, which is in it twice, headers and variables. As many variables are allowed as
    # fit: with one more uWSGI would say nothing, and our layer says 431 where headers are too many.
    size = min(LARGEST_BUFFER, max(4096, 4 * header_size + 2 * (options.max_request_line or 0)))
    return ("--buffer-size", str(size), "--max-vars", str(size // (2 * SMALLEST_VARIABLE) + 1))


def _workers(value: int, options: Options) -> Words:
    return ("--processes", str(value + SPARE_SLOTS), "--cheaper", str(value))


def _memory(value: int) -> str:
    return str(max(1, value // 2**20))


def _always(options: Options) -> Words:
    return (
        "--strict", "--master", "--need-app", "--single-interpreter", "--enable-threads", "--vacuum",
        "--disable-logging",
        # What the application starts by exec gets neither connections nor sockets that uWSGI opens itself: a client
        # would wait for the end of both, and a program that outlives the server would keep the address.
        "--close-on-exec", "--close-on-exec2",
        # Otherwise no worker is replaced in its first 10 s, whatever max_requests and its like say.
        "--min-worker-lifetime", "0",
        # A full reload would start the base interpreter, without the virtual environment (uWSGI 2.0.30).
        "--binary-path", sys.executable,
        # die-on-term alone drops requests in flight; the hook lets them finish, within worker-reload-mercy.
        "--exit-on-reload",
        # Lets the runner's fork hook run: a worker that still has the master's handlers misses the first signal.
        "--py-call-uwsgi-fork-hooks",
        # TERM is for a thread of ours, which does so (launcher.runners.uwsgi_master).
        "--hook-master-start", "unix_signal:2 kill_them_all",
        "--cheaper-algo", "manual",
        # Where a worker cannot load the application at the start, its master exits, and the others too.
        "--no-orphans",
        # By this the reload makes the master look at its workers at once, not at the end of its second.
        "--hook-master-start", "unix_signal:23 worker_wakeup",
        # The master would sleep over workers that end fast, and a reload is such a time.
        "--forkbomb-delay", "0",
        # Where the server decides: one worker, that loads the application itself, as a reload needs it.
        *(_workers(1, options) if options.workers is None else ()),
        *(("--lazy-apps",) if options.preload is None else ()),
        *(_buffer(HEADER_SIZE, options) if options.max_header_size is None else ()),
        # Otherwise a debugger in a worker would read /dev/null; production has no debugger.
        *(() if options.production else ("--honour-stdin",)),
        # It closes after each answer without saying so: a keep-alive client would send into a closing connection.
        *(("--add-header", "Connection: close") if _front(options) == "--http-socket" else ()),
    )  # fmt: skip


IN_WORKERS = ("trusted_proxies",)

RULES = {
    # uWSGI 2.0.30 tells X_Forwarded_For from X-Forwarded-For no more when the application is called.
    "trusted_proxies": compute(lambda value, options: ())
    .but("a header that a trusted proxy passes on with underscores for hyphens counts too; nginx drops those")
    ._replace(wordless=Options.trusted_proxies.supplied),
    "bind": compute(_bind),
    "protocol": compute(lambda value, options: ())._replace(wordless="the words of bind"),
    "socket_mode": flag("--chmod-socket", value=lambda value: f"{value:o}", joined=True),
    "socket_owner": flag("--chown-socket"),
    "backlog": flag("--listen", "-l"),
    "reuse_port": switch("--reuse-port").but("one socket, shared by all workers"),
    "workers": compute(_workers, "--processes", "-p", "--workers"),
    "threads": flag("--threads"),
    "max_connections": impossible("it counts threads, not connections", harmless=lambda value: False),
    "preload": switch("", "--lazy-apps", ["lazy"])
    .but("with it the main process executes itself anew in a reload")
    ._replace(wordless="no --lazy-apps"),
    "request_timeout": flag("--harakiri")
    .only(_one_thread)
    .but("with threads = 1 alone, and the worker is killed: no answer is sent"),
    "worker_timeout": impossible("its master only notices workers that are gone"),
    "graceful_timeout": flag("--worker-reload-mercy", "--reload-mercy").only(whole_seconds),
    "drain_delay": hook("drain_delay", "a thread of ours waits, in its main process"),
    "keepalive": compute(_keepalive, "--http-keepalive", "--so-keepalive", "--http-timeout").but(
        "by a router, one process more; in whole seconds, at least 2; an answer of unknown length closes the "
        "connection, and so does a second request that comes along with the first; whoever asks of a worker that is "
        "killed hears nothing for as long"
    ),
    "client_timeout": compute(_client_timeout, "--socket-timeout", "--http-headers-timeout"),
    "max_requests": flag("--max-requests", "-R"),
    "max_requests_jitter": flag("--max-requests-delta").but("a fixed step from worker to worker, not random"),
    "max_worker_age": flag("--max-worker-lifetime").only(whole_seconds),
    "max_worker_memory": flag("--reload-on-rss", value=_memory, zero=False).but(
        "counted in whole MiB, after each request"
    ),
    "user": flag("--uid")._replace(hook="user"),
    "group": flag("--gid"),
    "pid_file": flag("--pidfile", "--safe-pidfile").but("stays behind where user may not remove it"),
    "process_name": impossible("pyuwsgi cannot change its title"),
    "tls_cert": impossible(NO_TLS),
    "tls_key": impossible(NO_TLS),
    "tls_ca": impossible(NO_TLS),
    "tls_client_cert": impossible(NO_TLS),
    "max_request_line": hook(
        "max_request_line", "our layer in its workers answers 414; to a line that its buffer cannot hold nobody answers"
    ).only(_line),
    "max_header_size": compute(_header_size, "--buffer-size", "-b", "--max-vars", "-v").but(
        "the headers together may be four times this; whoever sends more hears nothing, and more than 100 get 431"
    ),
    "log_level": impossible("its messages have no levels", harmless=lambda value: False),
    "log_file": hook("log_file", "our runner points standard error to it")._replace(natives=("logto", "logto2")),
}


def _fixed(options: Options) -> tuple[str, ...]:
    # For new words the main process executes itself anew, which its router does not survive.
    words = tuple(name for name in RULES if name not in IN_WORKERS) if _routed(options) else ()
    return (*BOUND_TO_THE_PROCESS, *words)


BACKEND = Backend(
    name="uwsgi",
    summary="pre-forking, written in C",
    distribution="pyuwsgi",
    brought_by="wsgi-launcher[uwsgi]",
    minimum=(2, 0, 30),
    program=("-m", "launcher.runners.uwsgi"),
    always=_always,
    ending=("--module", "launcher.runners.uwsgi_worker:application"),
    shut_out=("UWSGI_*",),
    hook_variable="LAUNCHER_UWSGI",
    # Its router accepts before there is a worker, a worker's age counts from its fork, and a thread of ours that drives
    # the stop needs descriptors that may be taken then.
    stands_by=lambda options: not (_routed(options) or options.drain_delay or options.max_worker_age),
    descriptor=_descriptor,
    unfit={"gevent": _against_gevent},
    believes_anyone=True,
    gives_lengths=False,
    # Its master runs no Python: workers speak for it.
    notifies="all",
    reserved={
        "module": "Use app.",
        "wsgi": "Use app.",
        "wsgi_file": "Use app.",
        "callable": "Use app.",
        "pythonpath": "Use python_path.",
        "pp": "Use python_path.",
        "home": "serve runs in its own environment.",
        "virtualenv": "serve runs in its own environment.",
        "venv": "serve runs in its own environment.",
        "die_on_term": "TERM stops gracefully already.",
        "cheaper": RELOADS,
        "cheaper_algo": RELOADS,
        "cheaper_initial": RELOADS,
        "cheap": RELOADS,
        "daemonize": "Let systemd or a container run it.",
        "http": "Use bind.",
        "http_to": "Use keepalive.",
        "http_processes": "One router is told when to stop.",
        "http_workers": "One router is told when to stop.",
        "http_socket": "Use bind.",
        "socket": 'Use bind, with protocol = "uwsgi".',
        "http11_socket": "Use bind.",
        "py_autoreload": "Use the dev profile.",
        "logger": "Use log_file.",
        "req_logger": "Use access_log.",
    },
    rules=RULES,
    fixed=_fixed,
)
