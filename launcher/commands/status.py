"""`serve status`: what runs, and how it is."""

import os
import time
from collections.abc import Sequence
from typing import Any

from .. import instance
from ..board import LEAVING, READY, Board, Entry
from ..instance import Instance

STATES = {READY: "ready", LEAVING: "leaving"}


def status_document(running: Instance) -> dict[str, Any]:
    """Return one server as JSON would hold it. Ages are seconds, memory is bytes."""
    facts = running.facts
    workers = [worker_document(entry) for entry in _entries(running)]
    reload = instance.load(running.file(instance.RELOAD))
    stopping = running.stopping()
    return {
        "pid": running.pid,
        "server": facts["server"],
        "version": facts["version"],
        "project": facts["project"],
        "profile": facts["profile"],
        "settings": facts["settings"],
        "target": facts["target"],
        "addresses": facts["addresses"],
        "since": facts["since"],
        "ready": not stopping and any(worker["state"] == "ready" for worker in workers),
        "stopping": stopping,
        "generation": max([worker["generation"] for worker in workers], default=1),
        "workers": workers,
        "last_reload": dict(reload) if reload else None,
        "record": running.directory,
    }


def worker_document(entry: Entry) -> dict[str, Any]:
    began = _started_at(entry.pid)
    return {
        "pid": entry.pid,
        "state": STATES.get(entry.state, "starting"),
        "generation": entry.generation,
        "age": None if began is None else round(time.time() - began, 1),
        "requests": entry.requests,
        "memory": resident_bytes(entry.pid),
    }


def _entries(running: Instance) -> Sequence[Entry]:
    path = running.file(instance.BOARD)
    try:
        if not os.path.getsize(path):
            return ()  # there was no room for it
        board = Board(path)
    except OSError:
        return ()
    return [entry for entry in board.entries() if instance.started(entry.pid) is not None]


def _started_at(pid: int) -> float | None:
    """Return when a process began, in seconds since the epoch."""
    ticks = instance.started(pid)
    if ticks is None:
        return None
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int | None:
    """Return a process's resident memory. Source: proc_pid_statm(5)."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def status_text(document: dict[str, Any]) -> str:
    """Return one server as a person reads it."""
    server = f"{document['server']} {document['version']}".rstrip()
    state = "stopping" if document["stopping"] else "ready" if document["ready"] else "not ready"
    lines = [
        f"{server}, pid {document['pid']}, {state}, {_age(time.time() - document['since'])}",
        f"  profile    {document['profile']} of {document['project']}",
        f"  settings   {document['settings'] or '-'}, {document['target'] or 'which cannot be read'}",
        f"  addresses  {' '.join(document['addresses'])}",
    ]
    for worker in document["workers"]:
        memory = "" if worker["memory"] is None else f", {worker['memory'] / 2**20:.0f} MiB"
        lines.append(
            f"  worker     {worker['pid']} {worker['state']}, generation {worker['generation']}, "
            f"{_age(worker['age'] or 0)}, {worker['requests']} request{'s' * (worker['requests'] != 1)}{memory}"
        )
    last = document["last_reload"]
    if last:
        how = {True: "done", False: f"refused: {last['reason']}", None: f"{last['phase']} ..."}[last["ok"]]
        lines.append(f"  reload     {_age(time.time() - last['since'])} ago, {how}")
    return "\n".join(lines)


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
