"""The process that warm starts are forked from: `python -P -m launcher.develop.template DESCRIPTOR`.

It has imported what is not the project's, and nothing else. It begins anew until there is nothing to leave out.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from ..application import prepend_path, read_spec
from ..installed import is_installed
from . import preload, standing, worker
from .channel import TEMPLATE, VARIABLE, Channel
from .child import become

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_ATTEMPTS = 12
Stamps = dict[str, tuple[int, int] | None]


def stamps(paths: Iterable[str]) -> Stamps:
    """Return what tells whether files and directories are as they were."""
    found: Stamps = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            found[path] = None
        else:
            found[path] = status.st_mtime_ns, status.st_size
    return found


def main(argv: Sequence[str]) -> None:
    descriptor = int(argv[0])
    preload.inherited.update(map(int, os.listdir("/proc/self/fd")))
    channel = Channel(os.environ[VARIABLE])
    facts = channel.hear(TEMPLATE)
    hold(channel, facts, argv)
    worker.known = worker.Known(frozenset(name for name, _ in facts["modules"]), facts["afresh"])
    begin(serve_forks(socket.socket(fileno=descriptor)))


def hold(channel: Channel, facts: dict[str, Any], argv: Sequence[str]) -> None:
    """Import what can be held, and note what it is and what is left out."""
    prepend_path(read_spec(os.environ).path)
    directories = [path for path in sys.path if os.path.isdir(path) and is_installed(path)]
    stamped = stamps([*directories, *(file for _, file in facts["modules"] if is_installed(file))])
    attempt = preload.Preload(facts["modules"], facts["left_out"], facts["variables"])
    attempt.run(careful=facts["careful"])
    late = "" if attempt.flagged else preload.unforkable()
    if (attempt.flagged or late) and facts["attempts"] < MOST_ATTEMPTS:
        facts["left_out"] |= attempt.flagged
        facts["careful"] = facts["careful"] or bool(late)
        facts["attempts"] += 1
        channel.tell(TEMPLATE, facts)
        os.set_inheritable(int(argv[0]), True)
        os.execv(sys.executable, [sys.executable, "-P", "-m", "launcher.develop.template", *argv])
    facts["stamps"] = {path: stamp for path, stamp in stamped.items() if stamp is not None}
    channel.tell(TEMPLATE, facts)
    if attempt.flagged or late:
        sys.exit(1)
    gc.collect()
    gc.freeze()
    gc.enable()


def serve_forks(channel: socket.socket) -> dict[str, Any]:
    """Keep a process to spare for the next order; returns in that process, with the order.

    It becomes a child of the loop, which is a subreaper, and so outlives its template.
    """
    ordered, telling = True, -1
    while ordered:
        told, telling = os.pipe()
        middle = os.fork()
        if not middle:
            middle = os.getpid()
            if os.fork():
                os._exit(0)
            os.close(told)
            while os.getppid() == middle:
                time.sleep(0.0005)  # it ends at once, and nothing tells when its children have another parent
            break
        os.close(telling)
        os.waitpid(middle, 0)
        ordered = bool(os.read(told, 1))
        os.close(told)
    else:
        os._exit(0)  # the loop has gone, or wants no more
    try:
        channel.send(str(os.getpid()).encode())
        message, words, _, _ = socket.recv_fds(channel, 1 << 20, 2)
    except OSError:
        message, words = b"", []  # the loop does without this template
    channel.close()
    if not message:
        os._exit(0)
    try:
        os.write(telling, b".")
    except BrokenPipeError:
        pass  # another template has taken the place of this one
    os.close(telling)
    order: dict[str, Any] = json.loads(message)
    standing.stand_by([socket.socket(fileno=word) for word in words], order["cwd"])
    return order


def begin(order: dict[str, Any]) -> None:
    """Be the server that was ordered."""
    os.environ.clear()
    os.environ.update(order["environ"])
    with contextlib.suppress(OSError):  # it has gone: what is missed is told when the application is loaded
        os.chdir(order["cwd"])
    importlib.invalidate_caches()
    become(order["argv"])


if __name__ == "__main__":
    main(sys.argv[1:])
