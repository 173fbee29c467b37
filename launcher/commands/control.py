"""`serve reload` and `serve stop`: act on the running server of a profile, and return when it is done."""

import os
import select
import signal
import sys
import time

from .. import instance
from ..errors import Exit, Finding, LaunchError
from ..instance import Instance

LOOK_S = 0.02
HEARD_S = 20.0
"""Within this time a server that is alive has begun a reload, in seconds."""
STOP_SLACK_S = 10.0
"""What a server needs to stop beyond `graceful_timeout`, in seconds."""


def the_one(found: list[Instance], profile: str, pid: int | None) -> Instance:
    """Return the server that is meant; of any profile where that is empty.

    Raises LaunchError where there is none (status 6), or where there are several (2).
    """
    chosen = [each for each in found if pid is None or each.pid == pid]
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        which = f" with pid {pid}" if pid is not None else " of this project" if profile else ""
        message = f"no server{which} that you may see runs" + (f" with profile {profile}" if profile else "")
        fix = "serve status --all shows what runs; a service's is seen by root, another user's by that user."
        fix = fix if profile else "serve starts one."
        raise LaunchError(Finding("not-running", message, fix, status=Exit.NOT_READY))
    pids = " and ".join(f"{each.pid} ({' '.join(each.facts['addresses'])})" for each in chosen)
    message = f"{len(chosen)} servers run with profile {profile}: {pids}"
    raise LaunchError(Finding("several-run", message, "Say which with --pid.", status=Exit.USAGE))


def reload(running: Instance) -> int:
    """Ask for a reload, wait until it is over, and say how it went. Raises LaunchError where it was refused."""
    if running.stopping():
        message = f"the reload was refused: the server (pid {running.pid}) was told to stop"
        raise LaunchError(Finding("stopping", message, "serve starts another one.", status=Exit.NOT_READY))
    path = running.file(instance.RELOAD)
    before = instance.load(path).get("number") or 0
    began = time.monotonic()
    _signal(running, signal.SIGHUP)
    shown = ""
    while True:
        record = instance.load(path)
        if (record.get("number") or 0) > before:
            if record.get("phase") != shown:
                shown = record["phase"]
                _progress(f"{shown} ...")
            if record.get("ok") is not None:
                break
        elif time.monotonic() - began > HEARD_S:
            message = f"the server (pid {running.pid}) did not begin a reload within {HEARD_S:.0f} s"
            raise LaunchError(Finding("not-heard", message, "Its log may say why.", status=Exit.NOT_READY))
        if instance.read(running.directory) is None:
            raise LaunchError(
                Finding("died", f"the server (pid {running.pid}) ended during the reload", status=Exit.NOT_READY)
            )
        time.sleep(LOOK_S)
    _progress("")
    if not record["ok"]:
        trace = (record.get("trace") or "").rstrip()
        if trace and trace != record["reason"]:
            print(trace, file=sys.stderr)
        instead = record.get("instead", "the old code goes on serving")
        message = f"the reload was refused, and {instead}: {record['reason']}"
        raise LaunchError(Finding("reload-refused", message, status=Exit.TARGET))
    words = [f"{name} = {value}" for name, value in record.get("changed", {}).items()]
    print(
        f"reloaded in {time.monotonic() - began:.1f} s: generation {record['generation']}"
        + (f", {', '.join(words)}" if words else "")
    )
    return Exit.FINE


def stop(running: Instance) -> int:
    """Tell a server to stop, wait until it has, and say how long that took. Raises LaunchError where it does not."""
    began = time.monotonic()
    limit = _graceful_s(running) + STOP_SLACK_S
    told = running.stopping()
    try:
        process = os.pidfd_open(running.pid)
    except ProcessLookupError:
        raise _ended(running) from None
    try:
        if not told:  # told twice it would make haste
            _signal(running, signal.SIGTERM)
        # For one that ignores signals where it begins, as uWSGI 2.0.30 does.
        instance.drain({instance.VARIABLE: running.directory})
        _progress("finishing what is in flight ...")
        ended, _, _ = select.select([process], [], [], limit)
    finally:
        os.close(process)
    _progress("")
    if not ended:
        message = f"the server (pid {running.pid}) did not stop within {limit:.0f} s"
        raise LaunchError(
            Finding("not-stopped", message, f"kill -KILL {running.pid} ends it at once.", status=Exit.NOT_READY)
        )
    instance.remove(running.directory)
    print(f"stopped in {time.monotonic() - began:.1f} s")
    return Exit.FINE


def _graceful_s(running: Instance) -> float:
    from ..measures import Duration

    kind = Duration()
    shown = [running.facts["options"].get(name) for name in ("graceful_timeout", "drain_delay")]
    return sum(kind.from_toml(value) for value in shown if value is not None) or 30.0


def _signal(running: Instance, number: int) -> None:
    try:
        os.kill(running.pid, number)
    except PermissionError:
        message = f"the server (pid {running.pid}) belongs to another user"
        raise LaunchError(
            Finding("not-permitted", message, "Say it as that user, or as root.", status=Exit.NOT_READY)
        ) from None
    except ProcessLookupError:
        raise _ended(running) from None


def _ended(running: Instance) -> LaunchError:
    return LaunchError(Finding("not-running", f"the server (pid {running.pid}) has ended", status=Exit.NOT_READY))


def _progress(words: str) -> None:
    """Show where things are, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{words}")
        sys.stderr.flush()
