"""`serve`: open the sockets, become the server."""

from __future__ import annotations

import os
import sys
import time

from .. import instance
from ..accounts import group_id
from ..address import Address
from ..errors import Exit, Finding, LaunchError
from ..lean import TYPE_CHECKING
from ..native import NativeCommand
from ..options import Options
from ..plan import LaunchPlan
from ..record import plan_facts, request_facts
from ..sockets import (
    FIRST_DESCRIPTOR,
    PASSED_BY,
    SOCKETS_OURS,
    SOCKETS_STAY,
    UNLINK,
    Rights,
    bound_address,
    listen,
    move_to,
)

if TYPE_CHECKING:
    import _socket
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from ..request import Request

FURTHER_PORTS = 10
"""How many ports after the default one are tried in development."""


def run(plan: LaunchPlan, request: Request) -> NoReturn:
    """Replace this process with the server.

    Raises LaunchError where an address cannot be had, or the user whom workers become cannot run Python.
    """
    environ = request.environ
    if finding := user_cannot_run(plan, environ):
        raise LaunchError(finding)
    command = plan.command
    addresses: Sequence[Address] = plan.options.bind or ()
    passing = plan.backend.descriptor is not None or not plan.options.reuse_port
    env = server_environment(plan, environ)
    if passing:
        count, addresses = open_sockets(plan)
        command = hand_over(plan, env, count)
        paths = [address.path for address in _unix_files(plan.options)]
        if "NOTIFY_SOCKET" in environ and _sockets_stay(plan, addresses, environ):
            env[SOCKETS_STAY] = "1"
        else:
            if not any(address.kind == "fd" for address in plan.options.bind or ()):
                env[SOCKETS_OURS] = "1"
            if paths:
                env[UNLINK] = os.pathsep.join(paths)
    for line in start_lines(plan, addresses, terminal=sys.stderr.isatty()):
        print(f"serve: {line}", file=sys.stderr)
    env.pop(instance.VARIABLE, None)
    if directory := make_record(plan, request, addresses, env):
        env[instance.VARIABLE] = directory
    sys.stderr.flush()
    try:
        os.chdir(command.cwd)
        os.execve(command.argv[0], command.argv, env)
    except OSError as error:
        message = f"cannot start {plan.backend.name} in {command.cwd}: {error.strerror}"
        raise LaunchError(Finding("cannot-start", message, status=Exit.SERVER)) from error


def user_cannot_run(plan: LaunchPlan, environ: Mapping[str, str]) -> Finding | None:
    """Return what is wrong where the user whom workers become cannot run this Python: a worker would say it badly."""
    user = plan.options.user
    if user is None or os.geteuid() != 0:
        return None
    from ..child import against_user

    reason = against_user(plan.command.environment(environ), user, plan.options.group)
    if not reason:
        return None
    message = f"the user {user} cannot run {sys.executable}: {reason}"
    fix = "Install Python and its packages where that user may read them, or name another user."
    return Finding("user-cannot-run", message, fix, plan.settings["user"].origin, Exit.SERVER)


def server_environment(plan: LaunchPlan, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the server, without what was said to us of sockets."""
    env = plan.command.environment(environ)
    for name in PASSED_BY:
        env.pop(name, None)
    return env


def make_record(plan: LaunchPlan, request: Request, addresses: Sequence[Address], env: Mapping[str, str]) -> str | None:
    """Make the record by which status, reload and stop find the server; without one it runs all the same."""
    facts = {
        **plan_facts(plan),
        "addresses": [str(address) for address in addresses],
        "since": time.time(),
        "request": request_facts(request, env),
    }
    group = group_id(plan.options.group) if plan.options.group and os.getuid() == 0 else None
    try:
        return instance.create(request.environ, facts, group)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        print(f"serve: status, reload and stop will not find this server: {reason}", file=sys.stderr)
        return None


def _unix_files(options: Options) -> list[Address]:
    return [address for address in options.bind or () if address.kind == "unix" and not address.abstract]


def open_sockets(plan: LaunchPlan) -> tuple[int, list[Address]]:
    """Open every address as descriptors 3, 4, ...; return how many, and what they are bound to."""
    options = plan.options
    rights = Rights.of(options.socket_mode, options.socket_owner)
    opened = []
    files = []
    findings: list[Finding] = []
    for address in options.bind or ():
        try:
            sock = listen_at(plan, address, rights)
        except LaunchError as error:
            findings += error.findings
        else:
            opened.append(sock)
            if address.kind == "unix" and not address.abstract:
                files.append(address.path)
    if findings:
        for sock in opened:
            sock.close()
        for path in files:
            os.unlink(path)
        raise LaunchError(*findings)
    addresses = [bound_address(sock) for sock in opened]
    move_to(FIRST_DESCRIPTOR, [sock.detach() for sock in opened])
    # `listen` has copied what was passed in. While an original is open, nobody is refused when the server stops.
    passed = {socket.fd for socket in plan.passed} | {address.fd for address in options.bind or ()}
    for fd in passed:
        if fd >= FIRST_DESCRIPTOR + len(opened):
            os.close(fd)
    return len(addresses), addresses


def listen_at(plan: LaunchPlan, address: Address, rights: Rights) -> _socket.socket:
    """Open one address, or, where that is in use and nobody asked for it, one with a port soon after."""
    options, origin = plan.options, plan.settings["bind"].origin
    backlog, reuse_port = options.backlog or 1024, bool(options.reuse_port)
    try:
        return listen(address, backlog=backlog, rights=rights, reuse_port=reuse_port, origin=origin)
    except LaunchError as error:
        taken = error.findings[0]
        if address.kind != "tcp" or taken.code != "address-in-use" or origin.personal or options.production:
            raise
        for port in range(address.port + 1, address.port + 1 + FURTHER_PORTS):
            other = address._replace(port=port)
            try:
                sock = listen(other, backlog=backlog, reuse_port=reuse_port)
            except LaunchError:
                continue
            print(f"serve: {taken.message}: serving on {other} instead", file=sys.stderr)
            return sock
        raise


def _sockets_stay(plan: LaunchPlan, addresses: Sequence[Address], environ: Mapping[str, str]) -> bool:
    """Leave our sockets with systemd while it starts the service again; return whether it holds all of them."""
    from ..systemd import forget, keep  # where there is a systemd

    names = [f"serve-{str(address).replace(':', '-')}" for address in addresses]
    try:
        for socket in plan.passed:
            if socket.name.startswith("serve-") and socket.name not in names:
                forget(socket.name, environ=environ)
        return all(
            asked.kind == "fd" or keep(name, descriptor, environ=environ)
            for descriptor, (name, asked) in enumerate(
                zip(names, plan.options.bind or (), strict=True), FIRST_DESCRIPTOR
            )
        )
    except OSError as error:
        print(f"serve: systemd keeps no sockets: {error}", file=sys.stderr)
        return False


def hand_over(plan: LaunchPlan, env: dict[str, str], count: int) -> NativeCommand:
    """Return the command with descriptors in the place of addresses: as words, or by systemd's variables in `env`."""
    command, words = plan.command, plan.backend.descriptor
    if words is None:
        env["LISTEN_FDS"] = str(count)
        env["LISTEN_PID"] = str(os.getpid())  # exec keeps it
        # gunicorn 27.0.1 would take a descriptor that --bind names a second time.
        named = [address for address in plan.options.bind or () if address.kind != "fd"]
        return command.replacing("bind", plan.backend.rule("bind").words(named, plan.options))
    numbers = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count)
    return command.replacing("bind", tuple(word for fd in numbers for word in words(fd, plan.options)))


def start_lines(plan: LaunchPlan, addresses: Sequence[Address], *, terminal: bool) -> list[str]:
    """Return what a start says: a few lines on a terminal, one in a log."""
    scheme = "https" if plan.options.tls_cert else plan.options.protocol or "http"
    where = " ".join(
        f"{scheme}://{address.url}" if address.url and scheme != "uwsgi" else str(address) for address in addresses
    )
    server = f"{plan.backend.name} {plan.version}".rstrip()
    settings = plan.settings["settings"]
    module = f"settings {settings.value} ({settings.origin})" if settings.value else f"application {plan.target.spec}"
    size = _size(plan)
    warnings = [str(note).removesuffix(".") for note in plan.notes if note.severity == "warning"]
    if not terminal:
        return [*warnings, f"profile {plan.profile}, {module}, {server}, {size}, {where}"]
    lines = [*warnings, f"profile {plan.profile}, {module}", f"{server}, {size}"]
    lines += [str(note).removesuffix(".") for note in plan.notes if note.severity == "note"]
    return [*lines, f"{where}  (Ctrl-C stops)"]


def _size(plan: LaunchPlan) -> str:
    workers, threads = plan.options.workers or 1, plan.options.threads
    words = f"{workers} worker{'s' if workers != 1 else ''}"
    if plan.reckoned is not None and plan.backend.rule("workers").how != "impossible":
        words += f" ({plan.reckoned.words})"
    return words if threads is None else f"{words} x {threads} thread{'s' if threads != 1 else ''}"
