"""`serve` in development: open the sockets, and stay as the parent of whatever serves the code that is on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile

from .. import instance
from ..address import Address
from ..develop.channel import VARIABLE, Channel
from ..develop.failures import refused, unplanned
from ..develop.files import Interest
from ..develop.loop import Loop
from ..develop.news import News
from ..develop.stock import Order
from ..develop.terms import Terms
from ..errors import Finding, LaunchError
from ..installed import is_installed
from ..lean import TYPE_CHECKING
from ..origin import Layer
from ..plan import LaunchPlan
from ..record import plan_facts
from ..sockets import FIRST_DESCRIPTOR, SOCKETS_STAY
from ..systemd import MANAGED_BY
from .run import hand_over, make_record, open_sockets, server_environment, start_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..request import Request

    Compile = Callable[[Request], tuple[LaunchPlan, LaunchError | None]]

BROKEN = "launcher.develop.broken:application"


def develop(plan: LaunchPlan, broken: LaunchError | None, request: Request, compile_plan: Compile) -> int:
    """Serve until told to stop. Raises LaunchError where an address cannot be had.

    `broken` says why the plan has no target, where it has none.
    """
    count, addresses = open_sockets(plan)
    descriptors = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count)
    terminal = sys.stderr.isatty()
    for line in start_lines(plan, addresses, terminal=terminal):
        print(f"serve: {line}", file=sys.stderr)
    sys.stderr.flush()
    record = make_record(plan, request, addresses, server_environment(plan, request.environ))
    directory = record or tempfile.mkdtemp(prefix="serve-")
    channel = Channel(directory)
    fixed = plan.options.bind
    news = News(record, colour=terminal and not request.environ.get("NO_COLOR"))

    def replan() -> Terms:
        try:
            new, broken = compile_plan(request)
        except OSError as error:
            raise LaunchError(refused("make the plan", error, request.environ)) from error
        if new.options.bind != fixed:
            fix = "Restart serve for that, or take it back."
            origin = new.settings["bind"].origin
            news.say(str(Finding("bind-fixed", "another bind takes effect with the next start", fix, origin)))
        if record is not None:
            with contextlib.suppress(OSError):  # somebody has removed it: status does without
                instance.renew(record, plan_facts(new))
        return terms_of(new, broken, request, channel, addresses)

    try:
        return Loop(terms_of(plan, broken, request, channel, addresses), channel, descriptors, replan, news).run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        for address in plan.options.bind or ():
            if address.kind == "unix" and not address.abstract:
                _unlink(address.path)


def terms_of(
    plan: LaunchPlan, broken: LaunchError | None, request: Request, channel: Channel, addresses: Sequence[Address]
) -> Terms:
    """Return what the loop is to know of a plan."""
    options = plan.options
    env = server_environment(plan, request.environ)
    for name in (*MANAGED_BY, instance.VARIABLE):
        env.pop(name, None)
    # What waits in the backlog is for the next server: it has newer code.
    env |= {VARIABLE: channel.directory, SOCKETS_STAY: "1"}
    command = hand_over(plan, env, len(addresses))
    order = Order(command.argv, env, command.cwd)
    env_files = [os.path.join(plan.project.root, path) for path in options.env_file or ()]
    settings = [os.path.join(plan.project.root, "manage.py")]
    if plan.target.origin.layer == Layer.PROJECT:
        settings.append(os.path.join(request.cwd, plan.target.origin.source))
    pyproject = os.path.join(plan.project.root, "pyproject.toml")
    own = os.path.join(plan.project.root, "profiles", f"{plan.profile}.toml")  # it may be made later
    files = [*(profile.path for profile in plan.profiles), *env_files, pyproject, own]
    url = next((address.url for address in addresses if address.url), "") if options.open else ""
    return Terms(
        order=order,
        page=order._replace(argv=_page(plan, len(addresses))) if options.protocol in (None, "http") else None,
        failure=unplanned(broken, request.cwd) if broken is not None else None,
        interest=Interest(
            command.cwd,
            tuple(options.watch or ()),
            tuple(path for path in options.python_path or () if not is_installed(path)),
            tuple(map(os.path.abspath, files)),
            tuple(map(os.path.normpath, settings)),
            plan.looked_at,
        ),
        warm=bool(options.warm_start),
        ahead=stands_by(plan),
        checks=_checks(order, channel) if options.checks and plan.settings_module else None,
        graceful_s=options.graceful_timeout or 0.0,
        url=f"http{'s' if options.tls_cert else ''}://{url}" if url else "",
    )


def stands_by(plan: LaunchPlan) -> bool:
    """Return whether a server may be started ahead: what is read or written then must not matter to anybody yet."""
    options = plan.options
    shared = options.pid_file or options.reuse_port or options.log_file not in (None, "-")
    return bool(options.warm_start) and plan.backend.stands_by(options) and not (shared or plan.native)


def _page(plan: LaunchPlan, count: int) -> tuple[str, ...]:
    """Return the command of the server that says what is wrong: there is always wsgiref."""
    words = [word for fd in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count) for word in ("--fd", str(fd))]
    for flag, path in (("--tls-cert", plan.options.tls_cert), ("--tls-key", plan.options.tls_key)):
        words += [flag, path] if path else []
    words += ["--graceful-timeout", "5", "--log-level", "warning"]
    return (sys.executable, "-P", "-m", "launcher.runners.wsgiref", *words, BROKEN)


def _checks(order: Order, channel: Channel) -> Order:
    words = ("-P", "-m", "launcher.develop.checks", os.path.join(channel.directory, "checks"))
    return order._replace(argv=(sys.executable, *words))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
