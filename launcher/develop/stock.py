"""Servers to start: cold, in a new interpreter; warm, forked from a template that is kept in stock.

One is started ahead, and stands by (launcher.develop.standing).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from ..installed import is_installed
from .channel import NOTICES, TEMPLATE, Channel, server_log
from .template import Stamps, stamps
from .worker import WARM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GO, SURE = 0, 1
"""Words to a server that stands by: that it is to load the application, and that this was right."""


class Order(NamedTuple):
    """A server to be started."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: str


class Standing(NamedTuple):
    """A server that stands by."""

    pid: int
    order: Order
    notices: socket.socket
    words: Sequence[socket.socket]
    """For `GO` and `SURE`."""
    files: Stamps
    """Those that its command names, which it may have read."""

    def fits(self, order: Order) -> bool:
        """Return whether it is what a server would be that is started now."""
        return order == self.order and stamps(self.files) == self.files

    def say(self, number: int) -> bool:
        """Give it one of the words; return whether it can hear."""
        try:
            return bool(self.words[number].send(b"."))
        except OSError:
            return False

    def hang_up(self) -> None:
        """Say no more: its workers find what was said, or their sockets at their ends."""
        for word in self.words:
            word.close()


class Template:
    """The process, as the loop sees it."""

    def __init__(self, channel: Channel, order: Order, descriptors: Sequence[int], lesson: Mapping[str, Any]) -> None:
        """Begin to make it, by what a worker has told of its modules."""
        self.ready = self.gone = False
        self._spare = 0
        """The process that the next server becomes."""
        self._channel = channel
        self._environ = _lasting(order)
        self._variables = lesson["variables"]
        self._modules = _installed(lesson)
        self._facts: Mapping[str, Any] = {
            "modules": lesson["modules"], "afresh": lesson["afresh"], "variables": sorted(self._variables),
            "left_out": {}, "careful": False, "attempts": 1,
        }  # fmt: skip
        channel.tell(TEMPLATE, self._facts)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = ("-P", "-m", "launcher.develop.template", str(theirs.fileno()))
        made = order._replace(argv=(sys.executable, *words), environ=self._environ)
        self.pid = spawn(made, [*descriptors, theirs.fileno()])
        theirs.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def left_out(self) -> Mapping[str, str]:
        """Module -> why it is imported anew each time."""
        found: Mapping[str, str] = self._facts["left_out"]
        return found

    def hear(self) -> None:
        """Learn that there is a process to spare, or that the template has gone."""
        try:
            message = self._socket.recv(64)
        except OSError:
            message = b""
        self.gone = not message
        if not self.ready:
            self._facts = self._channel.hear(TEMPLATE)
        if message:
            self._spare = int(message)
            self.ready = True

    @property
    def gave_up(self) -> bool:
        """Whether it has found out that it cannot be made."""
        return self.gone and not self.ready and "stamps" in self._facts

    def fork(self, order: Order, *words: socket.socket) -> int:
        """Have the process to spare become a server, and return it; 0 where there is none any more.

        Where there are sockets for words, it stands by.
        """
        environ = {**order.environ, WARM: json.dumps(self._variables)}
        message = json.dumps({"argv": order.argv, "environ": environ, "cwd": order.cwd}).encode()
        while not (self._spare or self.gone):
            self.hear()
        pid, self._spare = self._spare, 0
        try:
            socket.send_fds(self._socket, [message], [word.fileno() for word in words])
        except OSError:
            self.gone = True
        return 0 if self.gone else pid

    def unlike(self, order: Order) -> str:
        """Return why a warm start would not be what a cold one is; empty where it would."""
        if "stamps" not in self._facts:
            return ""
        if self._environ != _lasting(order):
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


class Stock:
    """Templates: the one that servers are forked from, and the one that is to take its place."""

    def __init__(self, channel: Channel, descriptors: Sequence[int]) -> None:
        self._channel = channel
        self._descriptors = descriptors
        self._template: Template | None = None
        self._next: Template | None = None
        self._standing: Standing | None = None
        self._hopeless: Template | None = None
        """The last one that was made, where it gave up: another would too, unless it is for something else."""

    @property
    def templates(self) -> list[Template]:
        return [template for template in (self._template, self._next) if template is not None]

    @property
    def ready(self) -> bool:
        return self._template is not None

    def serve(self, order: Order, cold: str) -> tuple[int, socket.socket, str]:
        """Start a server as `start` does, by a word to the one that stands by if it will do.

        Returns what it tells its notices to besides: NOTIFY_SOCKET is each server's own.
        """
        standing, template = self._standing, self._template
        if not cold and standing and template and standing.fits(order) and standing.say(GO):
            # Looked at while it loads the application.
            cold = template.unlike(order)
            if not cold and standing.say(SURE):
                self._standing = None
                standing.hang_up()
                return standing.pid, standing.notices, ""
            self.stand_down()
            if cold:
                self.discard()
        notices, order = _notified(order)
        pid, cold = self.start(order, cold)
        return pid, notices, cold

    def stand(self, order: Order) -> None:
        """Have a server stand by for this order, if there is a template to fork it from."""
        if self._template is None or (self._standing and self._standing.fits(order)):
            return
        self.stand_down()
        pairs = [socket.socketpair() for _ in (GO, SURE)]
        notices, notified = _notified(order)
        files = stamps(path for each in order.argv if os.path.isfile(path := each.rpartition("=")[2]))
        if pid := self._template.fork(notified, *(theirs for _, theirs in pairs)):
            self._standing = Standing(pid, order, notices, [ours for ours, _ in pairs], files)
        for _, theirs in pairs:
            theirs.close()

    def stand_down(self) -> None:
        """End the server that stands by."""
        if self._standing is not None:
            os.kill(self._standing.pid, signal.SIGKILL)
            self.bury(self._standing.pid)

    def bury(self, pid: int) -> None:
        """Note that a process has ended: the next server may have to do without one that stood by."""
        if self._standing is not None and self._standing.pid == pid:
            self._standing.hang_up()
            self._standing.notices.close()
            self._standing = None
            self._channel.forget(server_log(pid))

    def start(self, order: Order, cold: str) -> tuple[int, str]:
        """Start a server, warm unless there is a reason to start it `cold`.

        Returns its process, and why it is not warm.
        """
        if not cold and self._template is None:
            cold = f"what it needs {'cannot be' if self._hopeless else 'is still being'} imported ahead"
        if not cold and self._template is not None:
            pid = self._template.fork(order)
            # Looked at while it starts.
            cold = self._template.unlike(order) if pid else "the process to fork from has gone"
            if not cold:
                return pid, ""
            if pid:
                os.kill(pid, signal.SIGKILL)
            self.discard()
        return start_cold(order, self._descriptors), cold

    def discard(self) -> None:
        """Do without the template that there is, and without what was forked from it ahead."""
        self.stand_down()
        if self._template is not None:
            self._template.close()
            self._template = None

    def keep_up(self, lesson: Mapping[str, Any], order: Order) -> None:
        """Have another template made, where the one that there is or will be does not do any more."""
        newest = self._next or self._hopeless or self._template
        if newest is None or newest.outgrown(lesson) or newest.unlike(order):
            if self._next is not None:
                self._next.close()
            self._next = Template(self._channel, order, self._descriptors, lesson)

    def hear(self, template: Template) -> Mapping[str, str] | None:
        """Learn of a template; return what it leaves out, if it has just become ready."""
        template.hear()
        if template.gone:
            template.close()
            if template is self._next:
                self._next = None
                self._hopeless = template if template.gave_up else None
            else:
                self.stand_down()
                self._template = None
        elif template is self._next:
            self.discard()
            self._template, self._next, self._hopeless = template, None, None
            return template.left_out
        return None

    def close(self) -> None:
        self.stand_down()
        for template in self.templates:
            template.close()


def _installed(lesson: Mapping[str, Any]) -> set[str]:
    return {name for name, file in lesson["modules"] if is_installed(file)}


def _lasting(order: Order) -> dict[str, str]:
    """Return the environment, but for what is another for each server."""
    return {name: value for name, value in order.environ.items() if name not in ("NOTIFY_SOCKET", NOTICES)}


def _notified(order: Order) -> tuple[socket.socket, Order]:
    """Return a socket for what a server tells, and the order that names it."""
    name = f"serve-develop-{os.getpid()}-{os.urandom(8).hex()}"
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind(f"\0{name}")
    notices.setblocking(False)
    return notices, order._replace(environ={**order.environ, "NOTIFY_SOCKET": f"@{name}", NOTICES: f"@{name}"})


def start_cold(order: Order, descriptors: Sequence[int]) -> int:
    """Start a server in an interpreter of its own and return its process."""
    words = (sys.executable, "-P", "-m", "launcher.develop.child", *order.argv)
    return spawn(order._replace(argv=words), descriptors)


def spawn(order: Order, descriptors: Sequence[int]) -> int:
    """Start a process in which SIGINT is blocked: an interpreter that is interrupted at its start has much to say."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        # Where the directory has gone, as with a branch that lacks it, the process is to say what it misses there.
        cwd = order.cwd if os.path.isdir(order.cwd) else os.sep
        process = subprocess.Popen(order.argv, env=order.environ, cwd=cwd, pass_fds=descriptors)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process.returncode = 0  # the loop waits for all its children by itself
    return process.pid
