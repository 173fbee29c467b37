"""Options that only make sense together, and names that must exist on this machine."""

from __future__ import annotations

from .accounts import group_id, own_group, user_id
from .address import UNIX_PATH_LIMIT
from .errors import Exit, Finding
from .host import Host
from .lean import TYPE_CHECKING
from .options import OPTIONS, PARENT, Options
from .origin import DEFAULT, Layer, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ANYONE = ("*", "0.0.0.0/0", "::/0")
"""What takes every peer for a trusted proxy."""


def inconsistencies(options: Options, settings: Mapping[str, Setting[Any]], host: Host) -> list[Finding]:
    """Return a finding for every pair of values that contradict each other or have no effect."""
    found: list[Finding] = []

    def say(name: str, message: str, fix: str = "", status: int = Exit.PROFILE) -> None:
        found.append(Finding("inconsistent", message, fix, settings[name].origin, status))

    def lonely(name: str, other: str) -> None:
        if options.value(name) and not options.value(other) and settings[name].origin.personal:
            say(name, f"{name} does nothing without {other}", f"Set {other} too, or remove {name}.")

    lonely("tls_key", "tls_cert")
    lonely("tls_ca", "tls_cert")
    lonely("tls_client_cert", "tls_ca")
    lonely("tls_ca", "tls_client_cert")
    lonely("max_requests_jitter", "max_requests")
    unix = [address for address in options.bind or () if address.kind == "unix" and not address.abstract]
    for name in ("socket_mode", "socket_owner"):
        inherited = any(address.kind == "fd" for address in options.bind or ())
        if options.value(name) is not None and not unix and settings[name].origin.personal and not inherited:
            # Only a note: `--bind 127.0.0.1:8001` over a profile with a unix socket is a thing people do.
            message = f"{name} ({settings[name].origin}) does nothing: bind names no unix socket"
            found.append(Finding("no-effect", message, severity="note"))
    for address in unix:
        length = len(address.path.encode())
        if length > UNIX_PATH_LIMIT:
            message = f"the socket path has {length} bytes, and the kernel takes {UNIX_PATH_LIMIT}: {address.path}"
            say("bind", message, "Choose a shorter path, such as one below /run.", Exit.ADDRESS)
    if options.bind == ():
        say("bind", "bind names no address", 'Write one, such as bind = ["127.0.0.1:8000"].')
    doubles = {str(address) for address in options.bind or () if (options.bind or ()).count(address) > 1}
    for double in sorted(doubles):
        if not double.endswith(":0"):
            say("bind", f"{double} is bound twice", "Name it once.", Exit.ADDRESS)
    anyone = [network for network in options.trusted_proxies or () if network in ANYONE]
    if options.production and anyone:
        message = f"trusted_proxies holds {anyone[0]}: X-Forwarded-For and -Proto are believed from clients too"
        fix = "Name the proxies alone, by address or network, such as 10.0.0.0/8."
        found.append(Finding("trusts-anyone", message, fix, settings["trusted_proxies"].origin, severity="warning"))
    backlog = options.backlog
    if backlog and host.somaxconn is not None and backlog > host.somaxconn:
        message = f"backlog = {backlog} is more than the kernel holds: net.core.somaxconn is {host.somaxconn}"
        say("backlog", message, f"Set backlog = {host.somaxconn}, or raise the kernel's limit.")
    for name, option in OPTIONS.items():
        asked = options.value(name) and settings[name].origin.personal
        # [tool.serve] speaks for every profile, and so for that which watches.
        shared = name in ("watch", "warm_start") and settings[name].origin.layer == Layer.PYPROJECT
        if options.production and option.group == "development" and asked and not shared:
            message = f"{name} is for development, and production = true ({settings['production'].origin})"
            say(name, message, f"Remove {name}, or set it in a profile for development.")
        elif asked and option.supplied == PARENT and not (options.reload or options.production):
            # Only a note, as above: `--no-reload` over a profile that watches is a thing people do.
            message = f"{name} ({settings[name].origin}) does nothing: reload is off"
            found.append(Finding("no-effect", message, severity="note"))
    found += _accounts(options, settings, host)
    return found


def leave_out_development(settings: dict[str, Setting[Any]]) -> list[Finding]:
    """In production take back what a shipped profile asks for development only, and note it."""
    names = [
        name
        for name, option in OPTIONS.items()
        if option.group == "development" and settings[name].origin.layer == Layer.SHIPPED and settings[name].value
    ]
    if not names or not settings["production"].value:
        return []
    for name in names:
        settings[name] = Setting(OPTIONS[name].default, DEFAULT, (settings[name], *settings[name].shadowed))
    message = f"left out, since production = true ({settings['production'].origin}): {', '.join(names)}"
    return [Finding("development-only", message, severity="note")]


def _accounts(options: Options, settings: Mapping[str, Setting[Any]], host: Host) -> list[Finding]:
    found: list[Finding] = []

    def say(name: str, message: str, fix: str) -> None:
        found.append(Finding("unknown-account", message, fix, settings[name].origin, Exit.PROFILE))

    owner, _, owner_group = (options.socket_owner or "").partition(":")
    for name, user in (("user", options.user), ("socket_owner", owner)):
        if user and user_id(user) is None:
            say(name, f"there is no user '{user}'", "Make it with useradd, or name another.")
    for name, group in (("group", options.group), ("socket_owner", owner_group)):
        if group and group_id(group) is None:
            say(name, f"there is no group '{group}'", "Make it with groupadd, or name another.")
    if options.user and user_id(options.user) is not None and options.group is None:
        say("user", f"the user {options.user} has no account, and so no group", "Set group too.")
    if host.uid == 0:
        return found
    others = []
    if options.user and user_id(options.user) != host.uid:
        others.append("user")
    implied = settings["group"].origin == settings["user"].origin
    if options.group and not implied and group_id(options.group) != own_group(str(host.uid)):
        others.append("group")
    for name in others:
        message = f"only root can become {name} '{options.value(name)}', and this is uid {host.uid}"
        fix = "Remove the key, or start serve as root."
        found.append(Finding("not-root", message, fix, settings[name].origin, Exit.PROFILE))
    return found
