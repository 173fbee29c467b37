"""What this machine grants the process: CPUs, memory, the longest queue of connections, and the rights of its user."""

from __future__ import annotations

import os

from .lean import TYPE_CHECKING, Record, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator


UNLIMITED = 2**60
"""Bytes from which a memory limit means none: version 1 shows no limit as 2**63 less a page."""


class Host(Record):
    """A machine, as one process on it sees it. It is passed around, so that tests and exports can name another."""

    cpus: int
    """How many CPUs the process may keep busy: by affinity and by the cgroups' quota, rounded up; at least 1."""
    cpus_why: str = ""
    """In words: `2 of 8 CPUs by affinity`, `1.5 CPUs by cgroup quota`."""
    memory: int | None = None
    """Bytes that may be used: the smallest limit of the cgroups around the process, or the RAM there is."""
    memory_why: str = ""
    """In words: `512 MiB by cgroup limit`, `15.6 GiB of RAM`."""
    somaxconn: int | None = None
    """The longest backlog that listen(2) grants. Source: Documentation/admin-guide/sysctl/net.rst, Linux 6.1."""
    uid: int = 0

    @classmethod
    def read(cls, root: str = "/", *, affinity: int | None = None, total: int | None = None) -> Host:
        """Read this machine. Never raises: what cannot be read is unknown.

        Files are looked for below `root`; `affinity` and `total` stand in for the numbers of CPUs that system
        calls give.
        """
        groups = list(dict.fromkeys(_groups(root)))
        total = total or os.cpu_count() or 1
        cpus, cpus_why = _cpus(groups, affinity or _affinity(total), total)
        memory, memory_why = _memory(groups, _physical(root))
        somaxconn = _number(_text(os.path.join(root, "proc/sys/net/core/somaxconn")))
        return cls(cpus, cpus_why, memory, memory_why, somaxconn, os.getuid())


def _affinity(total: int) -> int:
    """Return how many CPUs the scheduler may use. Source: sched_setaffinity(2); cgroup cpusets narrow it too."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        return total


def _cpus(groups: list[str], affinity: int, total: int) -> tuple[int, str]:
    quota = min(filter(None, map(_quota, groups)), default=None)
    if quota is not None and quota < affinity:
        return max(1, int(-(-quota // 1))), f"{_counted(quota)} by cgroup quota"  # rounded up
    if affinity < total:
        return affinity, f"{affinity} of {_counted(total)} by affinity"
    return affinity, _counted(affinity)


def _counted(cpus: float) -> str:
    return f"{max(cpus, 0.01):.2f}".rstrip("0").rstrip(".") + (" CPU" if cpus == 1 else " CPUs")


def _memory(groups: list[str], physical: int | None) -> tuple[int | None, str]:
    limit = min(filter(None, map(_limit, groups)), default=None)
    if limit is not None and (physical is None or limit < physical):
        return limit, f"{_sized(limit)} by cgroup limit"
    return physical, "memory unknown" if physical is None else f"{_sized(physical)} of RAM"


def _sized(size: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size} bytes"


def _physical(root: str) -> int | None:
    """Return the bytes of RAM. Source: proc(5), /proc/meminfo; its kB are 1024 bytes."""
    for line in _text(os.path.join(root, "proc/meminfo")).splitlines():
        name, _, amount = line.partition(":")
        kilobytes = _number(amount.removesuffix("kB")) if name == "MemTotal" else None
        if kilobytes:
            return kilobytes * 1024
    return None


def _quota(group: str) -> float | None:
    """Return the CPUs that a cgroup may use at once, None for any number.

    Source: Documentation/admin-guide/cgroup-v2.rst, `cpu.max`, and Documentation/scheduler/sched-bwc.rst,
    `cpu.cfs_quota_us`, Linux 6.1. Version 2 says `max` and version 1 -1 where there is no quota.
    """
    words = _text(os.path.join(group, "cpu.max")).split()
    if not words and (first := _text(os.path.join(group, "cpu.cfs_quota_us"))):
        words = [first, _text(os.path.join(group, "cpu.cfs_period_us"))]
    if not words:
        return None
    quota, period = _number(words[0]), _number(words[1]) if len(words) > 1 else 100_000
    return quota / period if quota and period else None


def _limit(group: str) -> int | None:
    """Return the bytes that a cgroup may use, None for any number.

    Source: Documentation/admin-guide/cgroup-v2.rst, `memory.max`, and
    Documentation/admin-guide/cgroup-v1/memory.rst, `memory.limit_in_bytes`, Linux 6.1.
    """
    limit = _number(_text(os.path.join(group, "memory.max")) or _text(os.path.join(group, "memory.limit_in_bytes")))
    return limit if limit and limit < UNLIMITED else None


def _groups(root: str) -> Iterator[str]:
    """Yield the directories of the cgroups around this process: each may hold a limit, and all of them count.

    Source: cgroups(7), /proc/[pid]/cgroup: `hierarchy:controllers:path`, where version 2 names no controllers.
    """
    mounts = os.path.join(root, "sys/fs/cgroup")
    for line in _text(os.path.join(root, "proc/self/cgroup")).splitlines() or ["::/", ":cpu:/", ":memory:/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            # Beside version 1, systemd mounts version 2 as `unified`.
            alone = os.path.exists(os.path.join(mounts, "cgroup.controllers"))
            yield from _upwards(mounts if alone else os.path.join(mounts, "unified"), path)
        elif {"cpu", "memory"}.intersection(controllers.split(",")):
            # A hierarchy of several controllers is mounted under all their names, with links from each of them.
            names = [controllers, *(name for name in controllers.split(",") if name in ("cpu", "memory"))]
            for name in names:
                yield from _upwards(os.path.join(mounts, name), path)


def _upwards(mount: str, path: str) -> Iterator[str]:
    """Yield the directory of a cgroup and of those around it, down from `mount`.

    In a container the path may be the host's, of which only the last part, or nothing, is below the mount.
    Source: cgroup_namespaces(7).
    """
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        parts = []
    while parts and not os.path.isdir(os.path.join(mount, *parts)):
        del parts[0]
    for depth in range(len(parts), -1, -1):
        yield os.path.join(mount, *parts[:depth])


def _text(path: str) -> str:
    try:
        return read_file(path).decode(errors="replace").strip()
    except (OSError, ValueError):
        return ""


def _number(text: str) -> int | None:
    """Return a number above zero; everything else that stands in these files means there is none."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 25 and int(text) else None
