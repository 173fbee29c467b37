"""Servers to start: cold, in a new interpreter; warm, forked from a template that is kept in stock."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from .channel import TEMPLATE, Channel
from .files import is_installed
from .template import stamps
from .worker import WARM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NICENESS = 5
"""Of a template that is made, while somebody looks at the first answer."""


class Order(NamedTuple):
    """A server to be started."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: str


class Template:
    """The process, as the loop sees it."""

    def __init__(self, channel: Channel, order: Order, descriptors: Sequence[int], lesson: Mapping[str, Any]) -> None:
        """Begin to make it, by what a worker has told of its modules."""
        self.ready = self.gone = False
        self._standing = 0
        """The process that the next server becomes."""
        self._channel = channel
        self._environ = dict(order.environ)
        self._variables = lesson["variables"]
        self._modules = _installed(lesson)
        self._facts: Mapping[str, Any] = {
            "modules": lesson["modules"], "variables": sorted(self._variables), "left_out": {}, "careful": False,
            "attempts": 1,
        }  # fmt: skip
        channel.tell(TEMPLATE, self._facts)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = ("-P", "-m", "launcher.develop.template", str(theirs.fileno()))
        self.pid = spawn(order._replace(argv=(sys.executable, *words)), [*descriptors, theirs.fileno()])
        os.setpriority(os.PRIO_PROCESS, self.pid, NICENESS)
        theirs.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def left_out(self) -> Mapping[str, str]:
        """Module -> why it is imported anew each time."""
        found: Mapping[str, str] = self._facts["left_out"]
        return found

    def hear(self) -> None:
        """Learn that a process stands by, or that the template has gone."""
        try:
            message = self._socket.recv(64)
        except OSError:
            message = b""
        self.gone = not message
        if message:
            self._standing = int(message)
        if message and not self.ready:
            self.ready = True
            self._facts = self._channel.hear(TEMPLATE)
            os.setpriority(os.PRIO_PROCESS, self._standing, 0)
            os.setpriority(os.PRIO_PROCESS, self.pid, 0)

    def fork(self, order: Order) -> int:
        """Have the process that stands by become a server, and return it; 0 where there is none any more."""
        environ = {**order.environ, WARM: json.dumps(self._variables)}
        words = json.dumps({"argv": order.argv, "environ": environ, "cwd": order.cwd}).encode()
        while not (self._standing or self.gone):
            self.hear()
        pid, self._standing = self._standing, 0
        try:
            self._socket.send(words)
        except OSError:
            self.gone = True
        return 0 if self.gone else pid

    def unlike(self, order: Order) -> str:
        """Return why a warm start would not be what a cold one is; empty where it would."""
        if not self.ready:
            return ""
        if self._environ != dict(order.environ):
            return "the environment changed"
        before = self._facts["stamps"]
        changed = [path for path, stamp in stamps(before).items() if stamp is None or list(stamp) != before[path]]
        return f"{os.path.basename(changed[0])} changed on disk" if changed else ""

    def outgrown(self, lesson: Mapping[str, Any]) -> bool:
        """Return whether the application has come to use modules that are not held."""
        return not _installed(lesson) <= self._modules or lesson["variables"] != self._variables

    def close(self) -> None:
        """End it; what was forked from it goes on."""
        self._socket.close()
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # whoever reaps children has heard


def _installed(lesson: Mapping[str, Any]) -> set[str]:
    return {name for name, file in lesson["modules"] if is_installed(file)}


def start_cold(order: Order, descriptors: Sequence[int]) -> int:
    """Start a server in an interpreter of its own and return its process."""
    words = (sys.executable, "-P", "-m", "launcher.develop.child", *order.argv)
    return spawn(order._replace(argv=words), descriptors)


def spawn(order: Order, descriptors: Sequence[int]) -> int:
    process = subprocess.Popen(order.argv, env=order.environ, cwd=order.cwd, pass_fds=descriptors)
    process.returncode = 0  # the loop waits for all its children by itself
    return process.pid
