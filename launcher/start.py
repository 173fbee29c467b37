"""One start, from what was said to exec or to the findings that prevent it."""

from __future__ import annotations

import os
import sys

from .errors import LaunchError
from .host import Host
from .lean import TYPE_CHECKING
from .plan import LaunchPlan, build
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


def working_directory() -> str:
    """Return where the person stands: as the shell shows it, symbolic links kept."""
    here = os.getcwd()
    shown = os.environ.get("PWD", "")
    return shown if os.path.isabs(shown) and os.path.realpath(shown) == here else here


def start(said: Mapping[str, tuple[str, ...]], environ: Mapping[str, str]) -> int:
    """Become the server, or say why not and return the exit status."""
    from .commands.run import run

    try:
        request = request_of(said, environ)
        plan = compile_plan(request)
        if plan.options.https:
            from .certificate import provide

            if news := provide(plan.options.tls_cert, environ):
                print(f"serve: {news}", file=sys.stderr)
        if plan.options.reload:
            from .commands.develop import develop

            return develop(plan, request, compile_plan)
        run(plan, request)
    except LaunchError as error:
        return report(error)
    except KeyboardInterrupt:
        return 128 + 2


def report(error: LaunchError) -> int:
    """Print every finding, errors first, and return the exit status."""
    for finding in sorted(error.findings, key=lambda finding: finding.severity != "error"):
        print(f"serve: {finding}", file=sys.stderr)
    return error.status
