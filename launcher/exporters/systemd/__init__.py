"""A service for systemd, and a socket unit. Facts: systemd 252, held by live tests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ...address import Address
from ...errors import Exit, Finding, LaunchError
from ...exporter import Exporter, start_words
from ...kinds import BadValue, Flag, Kind, Mode
from ...measures import Duration, decimal
from ...options import OPTIONS
from ...origin import Origin
from ...plan import LaunchPlan
from ...quoting import systemd_value, systemd_word
from .sandbox import sandbox

NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
STOP_MARGIN_S = 10
"""What a server may take, when its graceful timeout is over, to cut off the rest and end."""
WATCHDOG_S = 30.0
STORE = 64
"""Descriptors that a service may leave with systemd: a limit, far above the number of addresses that anyone binds."""


class _Site(NamedTuple):
    """What the units are called, and what they may be told besides the plan."""

    name: str
    template: bool
    watchdog_s: float
    """0 for none."""
    socket: bool
    """Whether a unit of its own opens the sockets."""

    @property
    def unit(self) -> str:
        """Name of the units without their kind, as the units themselves write it."""
        return f"{self.name}@%i" if self.template else self.name

    @property
    def directory(self) -> str:
        return f"{self.name}/%i" if self.template else self.name

    @property
    def runtime(self) -> str:
        """Directory of /run in which `serve status` looks for the record of the server."""
        return f"serve-{self.unit}"


def render(
    plan: LaunchPlan, name: str, *, template: str = "no", watchdog: str = "auto", socket: str = "yes"
) -> Mapping[str, str]:
    """Return NAME.service and NAME.socket, or as a template NAME@.service and NAME@.socket.

    With `template=yes` each instance is a site of its own: the same code and profile, with an environment file, a
    socket, state and a user of its own. `watchdog` is how long the server may be silent: a duration such as `2m`,
    `off`, or `auto` for 30 s, and twice `request_timeout` where that is more. With `socket=no` there is a service
    alone: the server opens the sockets, and leaves them with systemd while it is started again.
    """
    if not name or not NAME.issuperset(name):
        raise _refusal(f"'{name}' cannot be the name of a unit", "Give --name letters, digits, '-', '_' and '.'.")
    if plan.options.reload:
        message = f"the profile {plan.profile} is for somebody at work: its development loop never says READY"
        raise _refusal(message, "Give --profile prod, or --no-reload.", plan.settings["reload"].origin)
    site = _Site(name, _told("template", template, Flag()), _watchdog(plan, watchdog), _told("socket", socket, Flag()))
    if site.template and not site.socket:
        raise _refusal("the instances of a template differ by their sockets", "Leave --with socket=no out.")
    stem = f"{name}@" if site.template else name
    try:
        units = {f"{stem}.service": _service(plan, site)}
        if site.socket:
            units[f"{stem}.socket"] = _socket(plan, site)
    except ValueError as error:
        raise _refusal(f"a value of the plan {error}", "systemd has no way to write that.") from error
    return units


EXPORTER = Exporter("a service and a socket unit, sandboxed", "/etc/systemd/system", render)


def _refusal(message: str, fix: str, origin: Origin | None = None) -> LaunchError:
    return LaunchError(Finding("cannot-export", message, fix, origin, Exit.USAGE))


def _told(name: str, text: str, kind: Kind[Any]) -> Any:
    try:
        return kind.from_text(text)
    except BadValue as error:
        raise _refusal(f"--with {name}={text} {error}", "") from error


def _watchdog(plan: LaunchPlan, text: str) -> float:
    if not plan.backend.notifies:
        return 0.0
    if text == "auto":
        # The sign of life has to come within half of it, from a thread that any request may hold.
        return max(WATCHDOG_S, 2 * (plan.options.request_timeout or 0.0))
    found: float = _told("watchdog", text, Duration())
    return found


def _lines(key: str, *values: object) -> str:
    """Return a line for each value that there is."""
    return "".join(f"{key}={value}\n" for value in values if value not in (None, ""))


def _header(plan: LaunchPlan, site: _Site) -> str:
    whose = systemd_value(f"{plan.profile} of {plan.project.root}")
    unit = site.unit.replace("%i", "SITE")
    return f"""\
# Written by `serve export systemd` for profile {whose}
# With --check it tells whether this still is what the profile says.
# Changes of your own belong into drop-ins: `systemctl edit`.
# To begin: systemctl daemon-reload && systemctl enable --now {f"{unit}.socket " * site.socket}{unit}.service
"""


def _service(plan: LaunchPlan, site: _Site) -> str:
    secrets = _secrets(plan, site)
    python = f"{systemd_word(plan.command.argv[0])} -P -m launcher"
    return f"""\
{_header(plan, site)}
[Unit]
Description={site.unit} on {plan.backend.name}
{_order(site)}\
# It is started again for ever (see Restart): a database that is away comes back.
StartLimitIntervalSec=0

[Service]
{_readiness(plan, site)}\
WorkingDirectory={systemd_value(plan.project.root)}
# serve becomes the server: the same process, nothing in between. `:` keeps systemd from expanding `$`.
ExecStart=:{python} {" ".join(_words(plan, site, secrets))}
# Returns when the new code answers, or fails and leaves the old code serving.
ExecReload={python} reload {_doubled(systemd_word(start_words(plan)[0]))} --pid=${{MAINPID}}
# TERM goes to the main process alone, which lets its workers finish; what then is left is killed.
KillMode=mixed
{_grace(plan)}\
# Not after a clean end: whoever stopped it meant it.{" A request to the socket starts it again." * site.socket}
Restart=on-failure
RestartSec=2s

{_identity(plan, site)}\
{_credentials(secrets)}\
# Writable, and kept: /var/lib/{site.directory} ($STATE_DIRECTORY), for a database or uploads.
StateDirectory={site.directory}
StateDirectoryMode=0750
{_runtime(plan, site)}\
{_log_directories(plan)}\
{_limits(plan)}\
# Its messages are found with: journalctl -t {site.unit}
SyslogIdentifier={site.unit}

{sandbox(plan)}
[Install]
WantedBy=multi-user.target
{_lines("Also", f"{site.unit}.socket" if site.socket else None)}"""


def _order(site: _Site) -> str:
    if site.socket:
        return f"""\
# The sockets are systemd's: they stay open while the service restarts, and nobody is refused.
Requires={site.unit}.socket
After={site.unit}.socket network.target
"""
    return "After=network.target\n"


def _runtime(plan: LaunchPlan, site: _Site) -> str:
    text = f"""\
# Writable, and gone when the service stops: /run/{site.runtime} ($RUNTIME_DIRECTORY), where `serve status` looks.
RuntimeDirectory={site.runtime}
"""
    if site.socket:
        return text
    return f"""\
{text}\
{_lines("RuntimeDirectory", *sorted({_directory(address, site) for address in plan.options.bind or ()} - {""}))}\
# The sockets stay open with systemd, and their files in place, while the service restarts: nobody is refused.
RuntimeDirectoryPreserve=restart
FileDescriptorStoreMax={STORE}
# systemd says so itself from 254 on.
Environment=FDSTORE={STORE}
"""


def _directory(address: Address, site: _Site) -> str:
    """Return which directory in /run an address needs that the server opens, under its own user and in its sandbox."""
    if address.kind == "fd":
        raise _refusal(f"{address} names no address", "Write addresses in bind, or leave --with socket=no out.")
    if address.kind == "tcp":
        if 0 < address.port < 1024:
            raise _refusal(f"{address} is for root to open", "Leave --with socket=no out: the socket unit opens it.")
        return ""
    if address.abstract:
        return ""
    above, _, rest = address.path.removeprefix("/run/").partition("/")
    if not rest or "/" in rest or above.startswith("/") or not NAME.issuperset(above):
        raise _refusal(f"{address} cannot be opened in the sandbox", f"Bind unix:/run/{site.name}/{site.name}.sock.")
    return "" if above == site.runtime else above


def _doubled(word: str) -> str:
    """Return a word for a line in which systemd does expand `$`."""
    return word.replace("$", "$$")


def _readiness(plan: LaunchPlan, site: _Site) -> str:
    text = "Type=exec\n"
    if plan.backend.notifies:
        believed = "only its main process" if plan.backend.notifies == "main" else "each of its processes"
        text = f"""\
# `systemctl start` returns when the server has said READY=1; {believed} is believed.
Type=notify
NotifyAccess={plan.backend.notifies}
# From the start to READY=1, or for a reload; but whoever loads the application is given 300 s.
TimeoutStartSec=90s
"""
    if site.watchdog_s:
        text += f"""\
# A server in which no thread could take a request for so long counts as stuck, and is started anew.
WatchdogSec={decimal(site.watchdog_s)}s
"""
    return text


def _grace(plan: LaunchPlan) -> str:
    grace, delay = plan.options.graceful_timeout, plan.options.drain_delay or 0.0
    if grace is None:
        return ""
    text = f"# drain_delay, graceful_timeout, and {STOP_MARGIN_S} s to end in.\n"
    return f"{text}TimeoutStopSec={decimal(delay + grace + STOP_MARGIN_S)}s\n"


Secret = tuple[str, str, str]
"""Option, name of the credential, file."""


def _secrets(plan: LaunchPlan, site: _Site) -> list[Secret]:
    """Return the files that root alone may read."""
    options = plan.options
    found = [("env_file", f"env-{number}", path) for number, path in enumerate(options.env_file or (), 1)]
    found += [(name, name, path) for name in ("tls_cert", "tls_key") if (path := options.value(name)) is not None]
    secrets = [(option, name, systemd_value(path)) for option, name, path in found]
    return [*secrets, ("env_file", "env-site", f"/etc/{site.name}/%i.env")] if site.template else secrets


def _credentials(secrets: Sequence[Secret]) -> str:
    if not secrets:
        return ""
    comment = "# systemd reads these as root, at each start, and hands over copies that only this service can read.\n"
    return comment + _lines("LoadCredential", *(f"{name}:{path}" for _, name, path in secrets))


def _words(plan: LaunchPlan, site: _Site, secrets: Sequence[Secret]) -> list[str]:
    """Return the words of the start, quoted."""
    # systemd has made it the right user, and knows the main process, before serve begins.
    own = {name: "none" for name in ("user", "group", "pid_file") if plan.options.value(name) is not None}
    if site.template:
        own["bind"] = f"fd://{site.name}"
    # %d, a specifier of systemd's, is the directory of the credentials.
    for option, name, _ in secrets:
        own[option] = f"{own[option]},%d/{name}" if option in own else f"%d/{name}"
    words = [systemd_word(word) for word in start_words(plan, without=own)]
    return [*words, *(f"{OPTIONS[option].flag}={text}" for option, text in own.items())]


def _identity(plan: LaunchPlan, site: _Site) -> str:
    user, group = plan.options.user, plan.options.group
    if user is not None:
        return _lines("User", systemd_value(user)) + _lines("Group", group and systemd_value(group))
    text = "# A user that exists while the service runs, and owns its StateDirectory alone.\nDynamicUser=yes\n"
    if site.template:
        text += f"# One for each site; otherwise all would be {site.name}. Such a name has 31 letters at most.\n"
        text += f"User={site.name}-%i\n"
    return text


def _log_directories(plan: LaunchPlan) -> str:
    files = [path for path in (plan.options.log_file, plan.options.access_log) if path and path.startswith("/")]
    directories = sorted({os.path.dirname(path) for path in files})
    return _lines("ReadWritePaths", *map(systemd_word, directories))


def _limits(plan: LaunchPlan) -> str:
    umask, connections = plan.options.umask, plan.options.max_connections
    text = "# What the application writes is its own, unless the profile has a umask.\n"
    text += f"UMask={Mode().show(0o077 if umask is None else umask)}\n"
    if connections is not None:
        text += "# max_connections, a file for each of them, and some more; otherwise it would be 1024.\n"
        text += f"LimitNOFILE={2 * connections + 1024}\n"
    return text


def _socket(plan: LaunchPlan, site: _Site) -> str:
    streams = [f"/run/{site.directory}.sock"] if site.template else _streams(plan.options.bind or (), site)
    return f"""\
{_header(plan, site)}
[Unit]
Description=Sockets of {site.unit}

[Socket]
{_lines("ListenStream", *streams)}\
# serve finds the sockets by their addresses, or by this name: bind = ["fd://{site.name}"].
FileDescriptorName={site.name}
# One server accepts every connection.
Accept=no
{_lines("Backlog", plan.options.backlog)}\
{_lines("BindIPv6Only", "both" if any(map(str.isdigit, streams)) else None)}\
{_lines("ReusePort", "yes" if plan.options.reuse_port else None)}\
{_rights(plan) if any(stream.startswith("/") for stream in streams) else ""}
[Install]
WantedBy=sockets.target
"""


def _streams(bind: Iterable[Address], site: _Site) -> list[str]:
    streams = [_stream(address, site) for address in bind]
    if not streams:
        raise _refusal("bind names no address", "Say in the profile where the site listens.")
    return streams


def _stream(address: Address, site: _Site) -> str:
    if address.kind == "fd":
        raise _refusal(f"{address} names no address", "Write addresses in bind: the socket unit opens them.")
    if address.kind == "unix":
        if address.path.startswith(f"/run/{site.runtime}/"):
            raise _refusal(f"{address} would vanish when the service stops", "Choose another directory of /run.")
        return systemd_value(address.path)
    if not address.port:
        raise _refusal(f"{address} leaves the port open", "Write it: whoever stands in front has to know it.")
    if not address.host:
        return str(address.port)
    if ":" not in address.host and address.host.strip("0123456789."):
        raise _refusal(f"{address} is a name", "Write the IP address: systemd resolves no names.")
    return str(address)


def _rights(plan: LaunchPlan) -> str:
    user, _, group = (plan.options.socket_owner or "").partition(":")
    user, group = user or plan.options.user or "", group or plan.options.group or ""
    mode = 0o660 if plan.options.socket_mode is None else plan.options.socket_mode
    text = "# Who may connect: the user and the group of the front server, by socket_owner and socket_mode.\n"
    text += _lines("SocketUser", user and systemd_value(user)) + _lines("SocketGroup", group and systemd_value(group))
    return text + f"SocketMode={Mode().show(mode)}\n# No file stays behind that nobody answers on.\nRemoveOnStop=yes\n"
