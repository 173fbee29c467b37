"""`serve check`: everything that would go wrong, before it does."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping

from ..certificate import provide, unfit
from ..child import load_application
from ..errors import Exit, Finding, LaunchError, hint_at
from ..plan import LaunchPlan
from ..registry import Registry
from ..sockets import Rights
from .run import listen_at, user_cannot_run

Check = Callable[[LaunchPlan, Mapping[str, str], Registry], list[Finding]]


def check(plan: LaunchPlan, environ: Mapping[str, str], registry: Registry) -> tuple[Finding, ...]:
    """Return the findings of every check, errors first, and what a start would warn of."""
    found = [finding for one in CHECKS for finding in one(plan, environ, registry)]
    found += [note for note in plan.notes if note.severity == "warning"]
    return tuple(sorted(found, key=lambda finding: finding.severity != "error"))


def addresses_can_be_bound(plan: LaunchPlan, environ: Mapping[str, str], registry: Registry) -> list[Finding]:
    """Open all addresses, and close them again."""
    found: list[Finding] = []
    opened = []
    rights = Rights.of(0o600, plan.options.socket_owner)
    for address in plan.options.bind or ():
        if address.kind == "fd" and not _open(address.fd):
            continue  # what a supervisor passes in is there at the start only
        try:
            opened.append((address, listen_at(plan, address, rights)))
        except LaunchError as error:
            found += error.findings
    for address, sock in opened:
        sock.close()
        if address.kind == "unix" and not address.abstract:
            os.unlink(address.path)
    return found


def _open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def files_exist(plan: LaunchPlan, environ: Mapping[str, str], registry: Registry) -> list[Finding]:
    """Directories for logs and pid files can be written, those of code are there."""
    found: list[Finding] = []

    def say(name: str, message: str) -> None:
        origin = plan.settings[name].origin
        found.append(Finding("missing-file", f"{name}: {message}", "", origin, Exit.PROFILE))

    for name in ("pid_file", "access_log", "log_file"):
        path = plan.options.value(name)
        if path and path not in ("-", "off") and not os.access(os.path.dirname(path) or ".", os.W_OK):
            say(name, f"the directory of {path} cannot be written")
    for path in plan.options.python_path or ():
        if not os.path.isdir(path):
            say("python_path", f"there is no directory {path}")
    return found


def certificate_is_fit(plan: LaunchPlan, environ: Mapping[str, str], registry: Registry) -> list[Finding]:
    """Workers can speak TLS; the certificate that https asks for is made, as at a start."""
    try:
        provide(plan.options.tls_cert if plan.options.https else None, environ)
    except LaunchError as error:
        return [*error.findings]
    return unfit(plan.options, plan.settings)


def native_flags_exist(plan: LaunchPlan, environ: Mapping[str, str], registry: Registry) -> list[Finding]:
    """What `[native.SERVER]` passes on is a flag of the server, which lists its own."""
    server, trace = plan.backend.name, plan.command.trace
    flags = {key: trace[f"native.{server}.{key}"][0] for key in plan.native}
    if not flags:
        return []
    command = [sys.executable, "-P", *plan.backend.program, "--help"]
    done = subprocess.run(
        command, env=plan.command.environment(environ), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    known = set(re.findall(r"--([\w-]+)", done.stdout.decode(errors="replace")))
    return [
        Finding(
            "unknown-native",
            f"{server} has no {flag}",
            hint_at(key, [name.replace("-", "_") for name in known]),
            plan.native[key].origin,
            Exit.PROFILE,
        )
        for key, flag in flags.items()
        if known and not any(name.startswith(flag[2:]) for name in known)  # all of them take a beginning for the whole
    ]


def title_can_be_set(plan: LaunchPlan, environ: Mapping[str, str], registry: Registry) -> list[Finding]:
    """A process's name needs a package of its own."""
    if plan.options.process_name is None or registry.version("setproctitle"):
        return []
    message = "process_name has no effect without the package setproctitle"
    return [
        Finding("no-title", message, "pip install setproctitle.", plan.settings["process_name"].origin, Exit.SERVER)
    ]


def application_loads(plan: LaunchPlan, environ: Mapping[str, str], registry: Registry) -> list[Finding]:
    """Load the application in a child process, with guard and middleware, as a worker would and as its user."""
    if finding := user_cannot_run(plan, environ):
        return [finding]
    command, options = plan.command, plan.options
    answer = load_application(command.environment(environ), command.cwd, options.user, options.group)
    if answer.get("ok"):
        return []
    # The loader's message has places and remedies of its own.
    message = str(answer.get("message")).removeprefix("serve: ").rstrip()
    trace = answer.get("traceback") or ""
    return [Finding("application-fails", message, str(trace).rstrip(), None, Exit.TARGET)]


CHECKS: tuple[Check, ...] = (
    certificate_is_fit,
    files_exist,
    native_flags_exist,
    addresses_can_be_bound,
    title_can_be_set,
    application_loads,
)
