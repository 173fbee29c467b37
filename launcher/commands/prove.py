"""`serve prove DIRECTORY FD`: whether a running server may load the code that is on disk now.

A server's main process starts it before a reload (launcher.runners.reload). The request of the start is compiled
anew, compared with what runs, and the application is loaded as a worker would, all in throw-away processes. One JSON
object goes to the descriptor.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from .. import instance
from ..activation import Passed
from ..address import parse_address
from ..certificate import unfit
from ..child import load_application
from ..errors import Exit, LaunchError
from ..host import Host
from ..instance import Instance
from ..plan import LaunchPlan, build
from ..record import plan_facts, request_facts
from ..registry import read_registry
from ..request import Request
from ..sockets import PASSED_BY
from ..systemd import MANAGED_BY

RUN_TIME = (*MANAGED_BY, *PASSED_BY)
"""Variables that belong to the process and not to the plan."""


def prove(directory: str, descriptor: int, environ: Mapping[str, str]) -> int:
    """Write the verdict, and return an exit status."""
    os.set_inheritable(descriptor, False)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whoever started it may block signals; the import is not to
    verdict = _verdict(instance.read(directory), environ)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as answer:
        json.dump({"argv": (), "drop": (), **verdict}, answer)
    return Exit.FINE if verdict["ok"] else Exit.FINDINGS


def _verdict(running: Instance | None, environ: Mapping[str, str]) -> dict[str, Any]:
    if running is None:
        return {"ok": False, "reason": "the record of this server is gone, so that nothing can be compared with it"}
    request = request_of(running, environ)
    try:
        plan = build(request, Host.read(), read_registry(sys.path))
        if found := unfit(plan.options, plan.settings):
            raise LaunchError(*found)
    except LaunchError as error:
        return {"ok": False, "reason": _one_line(str(error.findings[0])), "trace": str(error)}
    record = plan_facts(plan)
    changed = {name: value for name, value in record["options"].items() if running.facts["options"].get(name) != value}
    if record["native"] != running.facts["native"]:
        changed[f"native.{plan.backend.name}"] = record["native"]
    if fixed := fixed_options(plan, running, changed):
        named = ", ".join(_with_place(name, plan) for name in fixed)
        return {"ok": False, "reason": f"a reload cannot change {named}: restart the server"}
    new = plan.command.environment(request.environ)
    answer = load_application(new, plan.command.cwd, plan.options.user, plan.options.group)
    if not answer.get("ok"):
        return {"ok": False, "reason": _one_line(str(answer.get("message"))), "trace": answer.get("traceback") or ""}
    ours = (*RUN_TIME, *(name for name in environ if name.startswith("LAUNCHER_") and name not in new))
    return {
        "ok": True,
        "changed": changed,
        "argv": plan.command.argv,
        "set": {name: value for name, value in new.items() if name not in ours and environ.get(name) != value},
        "drop": [name for name in environ if name not in ours and name not in new],
        "record": {**record, "request": _request_after(running, request_facts(request, new))},
    }


def request_of(running: Instance, environ: Mapping[str, str]) -> Request:
    """Return the request of the start; `environ` is the server's, from which the start's is made again."""
    said = running.facts["request"]
    kept = {name: value for name, value in environ.items() if name not in said["added"]}
    flags = {name: tuple(texts) for name, texts in said["said"].items()}
    passed = tuple(Passed(fd, name, parse_address(text) if text else None) for fd, name, text in said["passed"])
    return Request(flags, {**kept, **said["replaced"]}, said["cwd"], passed)


def _request_after(running: Instance, now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request as the next proof needs it, which takes away what this reload has added besides the start."""
    said = running.facts["request"]
    return {
        **said,
        "added": sorted({*said["added"], *now["added"]}),
        "replaced": {**said["replaced"], **now["replaced"]},
    }


def fixed_options(plan: LaunchPlan, running: Instance, changed: Mapping[str, Any]) -> list[str]:
    """Return what has changed and only a restart brings."""
    if plan.backend.name != running.facts["server"]:
        return ["server"]
    names = plan.backend.fixed(plan.options)
    fixed = [name for name in changed if name in names or name.startswith("native.")]
    return fixed if plan.project.root == running.facts["project"] else ["chdir", *fixed]


def _with_place(name: str, plan: LaunchPlan) -> str:
    """Return the name of an option with the place where it is set, if anybody sets it."""
    native = {f"native.{plan.backend.name}": setting for setting in plan.native.values()}
    setting = {**plan.settings, **native}.get(name)
    return f"{name} ({setting.origin})" if setting and setting.origin.source else name


def _one_line(message: str) -> str:
    first, *more = message.removeprefix("serve: ").strip().split("\n")
    listed = [line.strip() for line in more if line.startswith("  ")]
    return " ".join([first, *listed]) if first.endswith(":") else first
