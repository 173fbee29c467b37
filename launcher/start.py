"""One start, from what was said to exec or to the findings that prevent it."""

from __future__ import annotations

import os
import sys

from .errors import Exit, Finding, LaunchError
from .host import Host
from .lean import TYPE_CHECKING
from .plan import BrokenProject, LaunchPlan, build
from .registry import read_registry
from .request import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .activation import Passed


def request_of(said: Mapping[str, tuple[str, ...]], environ: Mapping[str, str]) -> Request:
    """Return what was said, here and now."""
    passed: tuple[Passed, ...] = ()
    if "LISTEN_FDS" in environ:
        from .activation import passed_sockets

        passed = passed_sockets(environ, os.getpid())
    return Request(said, environ, working_directory(), passed)


def compile_plan(request: Request, host: Host | None = None) -> LaunchPlan:
    """Compile for this machine, unless `host` is another. Raises LaunchError."""
    return build(request, host or Host.read(), read_registry(sys.path))


def compile_whatever_loads(request: Request) -> tuple[LaunchPlan, LaunchError | None]:
    """Compile; where only the project's code is in the way, return a plan without a target, and why.

    Raises LaunchError for anything else.
    """
    try:
        return compile_plan(request), None
    except BrokenProject as error:
        return error.plan, error


def working_directory() -> str:
    """Return where the person stands: as the shell shows it, symbolic links kept. Raises LaunchError."""
    try:
        here = os.getcwd()
    except OSError as error:
        message, fix = "the working directory is there no more", "Change to one that is."
        raise LaunchError(Finding("no-directory", message, fix, status=Exit.USAGE)) from error
    shown = os.environ.get("PWD", "")
    return shown if os.path.isabs(shown) and os.path.realpath(shown) == here else here


def start(said: Mapping[str, tuple[str, ...]], environ: Mapping[str, str]) -> int:
    """Become the server, or say why not and return the exit status."""
    from .commands.run import run

    open_streams()
    try:
        request = request_of(said, environ)
        plan, broken = compile_whatever_loads(request)
        if broken is not None and not plan.options.reload:
            raise broken
        if plan.options.tls_cert:
            from .certificate import provide, unfit

            if plan.options.https and (news := provide(plan.options.tls_cert, environ)):
                print(f"serve: {news}", file=sys.stderr)
            if found := unfit(plan.options, plan.settings):
                raise LaunchError(*found)
        if plan.options.reload:
            from .commands.develop import develop

            return develop(plan, broken, request, compile_whatever_loads)
        run(plan, request)
    except LaunchError as error:
        return report(error)


def open_streams() -> None:
    """Open closed standard streams on /dev/null: a socket or a file would get the number, and be written the log."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
        if descriptor == 1:
            sys.stdout = open(descriptor, "w", closefd=False)  # noqa: SIM115 - for as long as we live
        elif descriptor == 2:
            sys.stderr = open(descriptor, "w", closefd=False)  # noqa: SIM115 - likewise
    os.close(descriptor)


def report(error: LaunchError) -> int:
    """Print every finding, errors first, and return the exit status."""
    for finding in sorted(error.findings, key=lambda finding: finding.severity != "error"):
        print(f"serve: {finding}", file=sys.stderr)
    return error.status
