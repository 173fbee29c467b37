"""The seam: what is known about one server."""

from __future__ import annotations

from .lean import TYPE_CHECKING, Record
from .native import Refusal, Rule, Words, each, flag, impossible, some_time, switch
from .options import OPTIONS, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


APPLICATION = "launcher.wsgi:application"
"""What every server is given."""


def native_words(key: str, value: object) -> Words:
    """Return `--key value`, one flag for each item of a list, and the bare flag for true."""
    flag = "--" + key.replace("_", "-")
    if value is True:
        return (flag,)
    if value is False:
        raise Refusal("false says nothing here", "Remove the key.")
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, (str, int, float)) for item in items):
        raise Refusal("it is neither text, a number, true, nor a list of these")
    return tuple(word for item in items for word in (flag, str(item)))


BOUND_TO_THE_PROCESS = (
    "server", "chdir", "bind", "protocol", "socket_mode", "socket_owner", "backlog", "reuse_port", "preload",
    "user", "group", "pid_file", "process_name", "log_file",
)  # fmt: skip
"""Options that no reload changes, on any server."""


def no_words(options: Options) -> Words:
    return ()


class Backend(Record):
    """A server as data. The fields below `rules` have defaults that suit a runner of ours."""

    name: str
    summary: str
    """One line for `serve servers`."""
    distribution: str
    """Whose version counts; empty for the standard library."""
    minimum: tuple[int, ...]
    """Oldest version that the rules hold for."""
    program: Words
    """What follows `python -P`."""
    rules: Mapping[str, Rule]
    """A rule or a reasoned refusal for every option that we do not supply ourselves."""
    always: Callable[[Options], Words] = no_words
    """Words that no option owns."""
    ending: Words = (APPLICATION,)
    shut_out: Words = ()
    """Ambient variables that would change the server; a `*` at the end stands for any rest."""
    shut_out_files: Words = ()
    """Files in the working directory that would change the server, if it were not told to leave them."""
    hook_variable: str = ""
    """Variable in which values reach hooks of ours, as JSON."""
    descriptor: Callable[[int, Options], Words] | None = lambda fd, options: ("--fd", str(fd))
    """Words that hand over one inherited descriptor; None where LISTEN_FDS does it."""
    native: Callable[[str, object], Words] = native_words
    """Words for one key of `[native.NAME]`. Raises Refusal."""
    reserved: Mapping[str, str] = {}
    """Native names that a person may not use though no option repeats them -> what to use instead."""
    unfit: Mapping[str, Callable[[Options], Refusal | None]] = {}
    """Native names that do not go with all options -> what is against them."""
    believes_anyone: bool = False
    """Whether it takes the scheme from headers that anyone can send: then we always set it right."""
    gives_lengths: bool = True
    """Whether the body of a request that does not say how long it is reaches the application with its length; else we
    read it first."""
    fixed: Callable[[Options], tuple[str, ...]] = lambda options: BOUND_TO_THE_PROCESS
    """Names of those that a reload cannot change: they belong to the sockets or to the main process."""
    notifies: str = "main"
    """Who says READY=1 to systemd, once a worker serves: `main` is the main process, `all` any of its processes.
    Empty where nobody does."""
    stands_by: Callable[[Options], bool] = lambda options: False
    """Whether nobody notices it before a worker loads the application: it accepts no connection, says and counts
    nothing. In development it is started ahead of its time then."""
    brought_by: str = ""
    """What pip is told to install for it; empty where that is the distribution alone."""
    production: bool = True
    """Whether it may serve the public: `server = "auto"` takes no other in production."""

    @property
    def install(self) -> str:
        """The command that brings the server, or a newer one."""
        return f'pip install "{self.brought_by or self.distribution}"'

    @property
    def oldest(self) -> str:
        """`minimum`, as versions are written."""
        return ".".join(map(str, self.minimum))

    def fits(self, version: str | None) -> bool:
        """Return whether the rules hold for this version; None or an empty one is not installed."""
        return not self.distribution or bool(version and _numbers(version) >= self.minimum)

    def rule(self, option: str) -> Rule:
        """Return the rule for an option; for what we supply on every server, a rule that says so."""
        if option in self.rules:
            return self.rules[option]
        if not OPTIONS[option].supplied:
            return impossible("its backend is older than this option", harmless=lambda value: False)
        return Rule("supplied", lambda value, options: (), note=OPTIONS[option].supplied)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: `2.0.30.post1` -> (2, 0, 30)."""
    numbers: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


NO_LIMIT = 2**60
"""Bytes, where a runner of ours is to have no limit."""

RUNNER_RULES: Mapping[str, Rule] = {
    "bind": each("--bind"),
    "protocol": impossible("it speaks HTTP only", harmless=lambda value: value == "http"),
    "socket_mode": flag("--socket-mode", value=lambda value: f"{value:04o}"),
    "socket_owner": flag("--socket-owner"),
    "backlog": flag("--backlog"),
    "reuse_port": switch("--reuse-port"),
    "workers": flag("--workers"),
    "threads": flag("--threads"),
    "preload": switch("--preload"),
    "request_timeout": impossible("it has no limit on the time a request takes"),
    "worker_timeout": flag("--worker-timeout"),
    "graceful_timeout": flag("--graceful-timeout"),
    "drain_delay": flag("--drain-delay"),
    "keepalive": flag("--keepalive"),
    "client_timeout": flag("--client-timeout").only(some_time),
    "max_requests": flag("--max-requests"),
    "max_requests_jitter": flag("--max-requests-jitter"),
    "max_worker_age": flag("--max-worker-age"),
    "max_worker_memory": flag("--max-worker-memory"),
    "max_request_line": flag("--max-request-line", value=lambda value: str(value or NO_LIMIT)),
    "user": flag("--user"),
    "group": flag("--group"),
    "pid_file": flag("--pid-file"),
    "process_name": flag("--process-name").but("needs the package setproctitle"),
    "log_level": flag("--log-level"),
    "log_file": flag("--log-file"),
}
"""Rules of the flags that every runner of ours takes (launcher.runners.arguments)."""
