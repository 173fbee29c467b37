"""Every option, declared once: key, flag, variable, help, schema and reference page derive from here."""

from __future__ import annotations

from .kinds import (
    AddressKind,
    Choice,
    Flag,
    ListOf,
    MiddlewareKind,
    Mode,
    Network,
    Number,
    NumberOrAuto,
    Path,
    Table,
    Text,
    module_complaint,
    path_complaint,
)  # fmt: skip
from .lean import TYPE_CHECKING
from .measures import Duration, Size
from .option import Option, Values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any


IN_WORKERS = "a WSGI layer of ours in each worker"
BEFORE = "set before the server starts"
PARENT = "the development loop, which is the server's parent"


class Options(Values):
    """The values of one plan, typed."""

    # What is served

    profile = Option(
        Text("NAME|PATH"), "Profile to start from: a name, or a path to a TOML file.",
        group="application", default="dev", supplied=BEFORE, anywhere=False,
    )  # fmt: skip
    server = Option(
        Text("NAME"), "Server to run; `auto` takes the first installed of gunicorn, uwsgi and waitress.",
        group="application", default="auto", supplied=BEFORE,
    )  # fmt: skip
    settings = Option(
        Text("MODULE", module_complaint), "Settings module; it becomes DJANGO_SETTINGS_MODULE of the server.",
        group="application", supplied=BEFORE,
    )  # fmt: skip
    app = Option(
        Text("APP"), "Application, `module:callable` or `module:factory()`; otherwise WSGI_APPLICATION says.",
        group="application", supplied=IN_WORKERS,
    )  # fmt: skip
    middleware = Option(
        ListOf(MiddlewareKind()), "WSGI middleware wrapped round the application, outermost first.",
        group="application", default=(), supplied=IN_WORKERS,
    )  # fmt: skip
    production = Option(
        Flag(), "Whether this serves the public: development settings are refused then.",
        group="application", default=False, supplied=IN_WORKERS,
    )  # fmt: skip
    allow = Option(
        ListOf(Choice("debug", "secret-key", "allowed-hosts", "development-apps")),
        "What the production guard lets pass.",
        group="application", default=(), supplied=IN_WORKERS,
    )  # fmt: skip
    validate = Option(
        Flag(), "Check every request and answer against PEP 3333 with wsgiref's validator.",
        group="application", default=False, supplied=IN_WORKERS,
    )  # fmt: skip
    warmup = Option(
        ListOf(Text("PATH", path_complaint)), "Paths that a worker asks itself for before it counts as ready.",
        group="application", default=(), supplied=IN_WORKERS,
    )  # fmt: skip
    ready_path = Option(
        Text("PATH", path_complaint), "Path that answers 200 while the server takes requests, and 503 once it drains.",
        group="application", supplied=IN_WORKERS,
    )  # fmt: skip
    chdir = Option(
        Path(), "Directory to work in; the project is looked for from there upwards.",
        group="application", supplied=BEFORE,
    )  # fmt: skip
    python_path = Option(
        ListOf(Path()), "Directories put first on sys.path, before the project's own.",
        group="application", default=(), supplied=IN_WORKERS,
    )  # fmt: skip
    env = Option(
        Table(), 'Environment variables of the server; true becomes "1", and false is empty.',
        group="application", default={}, supplied=BEFORE,
    )  # fmt: skip
    env_file = Option(
        ListOf(Path()), "Files of NAME=VALUE lines for the server's environment; `env` beats them.",
        group="application", default=(), supplied=BEFORE,
    )  # fmt: skip

    # Where it listens

    bind = Option(
        ListOf(AddressKind()), "Addresses: host:port, :port, [::1]:port, unix:/path, fd://3, fd://NAME.",
        group="listening",
    )  # fmt: skip
    protocol = Option(
        Choice("http", "uwsgi"), "What is spoken on the addresses: HTTP, or uwsgi behind a front server.",
        group="listening", default="http",
    )  # fmt: skip
    socket_mode = Option(
        Mode(), "Permission bits of unix sockets, in octal.",
        group="listening",
    )  # fmt: skip
    socket_owner = Option(
        Text("USER[:GROUP]"), "Owner of unix sockets.",
        group="listening",
    )  # fmt: skip
    backlog = Option(
        Number(1, 65535), "Connections the kernel holds while every worker is busy.",
        group="listening",
    )  # fmt: skip
    reuse_port = Option(
        Flag(), "SO_REUSEPORT: other instances may listen on the same TCP address.",
        group="listening",
    )  # fmt: skip

    # Workers

    workers = Option(
        NumberOrAuto(1, 1024), "Worker processes; `auto` reckons with affinity, cgroup quota and memory.",
        group="workers",
    )  # fmt: skip
    threads = Option(
        Number(1, 4096), "Requests one worker answers at the same time.",
        group="workers",
    )  # fmt: skip
    max_connections = Option(
        Number(1, 1_000_000), "Connections one worker holds at the same time; further ones wait.",
        group="workers",
    )  # fmt: skip
    preload = Option(
        Flag(), "Load the application once, before the workers are forked: less memory, harder reloads.",
        group="workers",
    )  # fmt: skip

    # How long things take

    request_timeout = Option(
        Duration(), "Longest time one request may take.",
        group="timeouts",
    )  # fmt: skip
    worker_timeout = Option(
        Duration(), "A worker that shows no sign of life for this long is killed and replaced.",
        group="timeouts",
    )  # fmt: skip
    graceful_timeout = Option(
        Duration(), "Time that requests in flight have to finish when the server stops.",
        group="timeouts",
    )  # fmt: skip
    drain_delay = Option(
        Duration(), "Time a server that was told to stop goes on serving, while balancers learn that it is to go.",
        group="timeouts",
    )  # fmt: skip
    keepalive = Option(
        Duration(), "Time an idle connection is kept for the next request; `off` closes after each answer.",
        group="timeouts",
    )  # fmt: skip
    client_timeout = Option(
        Duration(), "A client that sends nothing for this long, while we wait for it, is cut off.",
        group="timeouts",
    )  # fmt: skip

    # When workers are replaced

    max_requests = Option(
        Number(0), "Requests after which a worker is replaced; 0 never.",
        group="recycling",
    )  # fmt: skip
    max_requests_jitter = Option(
        Number(0), "Up to so many requests more, so that workers are not replaced all at once.",
        group="recycling",
    )  # fmt: skip
    max_worker_age = Option(
        Duration(), "Age at which a worker is replaced.",
        group="recycling",
    )  # fmt: skip
    max_worker_memory = Option(
        Size(), "Resident memory beyond which a worker is replaced.",
        group="recycling",
    )  # fmt: skip

    # The process

    user = Option(
        Text("USER"), "User to become, by name or number; needs root.",
        group="process",
    )  # fmt: skip
    group = Option(
        Text("GROUP"), "Group to become; otherwise the user's own.",
        group="process",
    )  # fmt: skip
    umask = Option(
        Mode(), "File mode creation mask of the workers, in octal.",
        group="process", supplied=IN_WORKERS,
    )  # fmt: skip
    pid_file = Option(
        Path(), "File that holds the main process's id while the server runs.",
        group="process",
    )  # fmt: skip
    process_name = Option(
        Text("NAME"), "Name shown by ps.",
        group="process",
    )  # fmt: skip

    # TLS

    tls_cert = Option(Path(), "Certificate chain, PEM; HTTPS is spoken then.", group="tls")
    tls_key = Option(Path(), "Private key of the certificate, PEM.", group="tls")
    tls_ca = Option(Path(), "Certificates that clients' certificates are checked against.", group="tls")
    tls_client_cert = Option(
        Choice("required", "optional"), "Whether clients must show a certificate; needs tls_ca.",
        group="tls",
    )  # fmt: skip

    # Development

    reload = Option(
        Flag(), "Run the code that is on disk: a saved file starts the application anew, and nobody is refused.",
        group="development", default=False, supplied=PARENT,
    )  # fmt: skip
    watch = Option(
        ListOf(Text("GLOB")), "More files whose edits start the application anew, relative to the project.",
        group="development", default=(), supplied=PARENT,
    )  # fmt: skip
    warm_start = Option(
        Flag(), "Fork what starts anew from a process that has imported what is not the project's.",
        group="development", default=True, supplied=PARENT,
    )  # fmt: skip
    live = Option(
        Flag(), "Let the browser load its page anew when something that made it was edited.",
        group="development", default=False, supplied=IN_WORKERS,
    )  # fmt: skip
    static_files = Option(
        Flag(), "Serve what django.contrib.staticfiles finds, as runserver does.",
        group="development", default=False, supplied=IN_WORKERS,
    )  # fmt: skip
    checks = Option(
        Flag(), "Report Django's system checks and unapplied migrations once the first answer is possible.",
        group="development", default=False, supplied=PARENT,
    )  # fmt: skip
    development_warnings = Option(
        Flag(), "Show Python's deprecation and resource warnings where the project's own code causes them.",
        group="development", default=False, supplied=IN_WORKERS,
    )  # fmt: skip
    https = Option(
        Flag(), "Speak HTTPS with a certificate for localhost that is made on the spot.",
        group="development", default=False, supplied=BEFORE,
    )  # fmt: skip
    open = Option(
        Flag(), "Open the browser once the server is ready.",
        group="development", default=False, supplied=PARENT,
    )  # fmt: skip

    # Proxies and limits

    trusted_proxies = Option(
        ListOf(Network()), "Peers whose X-Forwarded headers are believed; from others they are removed.",
        group="requests", supplied=IN_WORKERS,
    )  # fmt: skip
    url_prefix = Option(
        Text("/PATH", lambda text: None if text.startswith("/") else "does not start with a slash"),
        "Path the application is mounted at (SCRIPT_NAME).",
        group="requests", supplied=IN_WORKERS,
    )  # fmt: skip
    max_request_line = Option(
        Size(), "Longest request line, in bytes.",
        group="requests",
    )  # fmt: skip
    max_header_size = Option(
        Size(), "Longest request header, in bytes.",
        group="requests",
    )  # fmt: skip
    max_body_size = Option(
        Size(), "Longest request body; a longer one is answered 413.",
        group="requests", supplied=IN_WORKERS,
    )  # fmt: skip

    # Logs

    access_log = Option(
        Path("off", "-"),
        "One line for each request that the server lets through: `off`, `-` for standard output, or a file.",
        group="logs", supplied=IN_WORKERS,
    )  # fmt: skip
    access_log_format = Option(
        Choice("combined", "short"),
        "How a request is logged: as web servers do, with the microseconds it took at the end, or short, for a person.",
        group="logs", default="combined", supplied=IN_WORKERS,
    )  # fmt: skip
    log_level = Option(
        Choice("debug", "info", "warning", "error", "critical"), "Least important message that is logged.",
        group="logs",
    )  # fmt: skip
    log_file = Option(
        Path("-"), "Where the server's own messages go: `-` for standard output, or a file.",
        group="logs",
    )  # fmt: skip


def all_options() -> Iterator[Option[Any]]:
    """Yield every declaration, in the order of the file."""
    return (member for member in vars(Options).values() if isinstance(member, Option))


OPTIONS: Mapping[str, Option[Any]] = {option.name: option for option in all_options()}
