"""A reload, as the main process of a server sees it: the new code is proven in a throw-away process first.

The main process must neither import the project nor wait. It begins a `Reload`, goes on, asks for the `verdict` when
the descriptor has become readable, replaces its workers, and says how it ended. `serve reload` and systemd hear of
every step.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, NamedTuple

from .. import instance
from ..application import VARIABLE
from ..loading import EXTENDED
from ..systemd import tell

PROVING, REPLACING, DONE = "proving", "replacing", "done"


class Verdict(NamedTuple):
    """What a proof found; `launcher.commands.prove` writes it."""

    ok: bool
    reason: str = ""
    """One line: why not."""
    trace: str = ""
    """The user's traceback, or all that is wrong with the profile."""
    changed: Mapping[str, Any] = {}
    """Option -> its new value, of those that are not as they were."""
    argv: tuple[str, ...] = ()
    """The native command as it is now, with addresses in it and not descriptors."""
    set: Mapping[str, str] = {}
    """Variables that a server started now would have, and this process has otherwise or not at all."""
    drop: tuple[str, ...] = ()
    """Variables that it would not have."""
    record: Mapping[str, Any] = {}
    """What is to stand in the server's record when the reload has succeeded."""

    def apply(self, environ: MutableMapping[str, str]) -> None:
        """Change an environment as the verdict says."""
        for name in self.drop:
            environ.pop(name, None)
        environ.update(self.set)


class Reload:
    """One reload, from the signal that asked for it to its end."""

    verdict: Verdict | None
    number: int
    """How many there were, this one counted."""
    _environ: Mapping[str, str]

    def __init__(self, directory: str | None, generation: int, environ: Mapping[str, str]) -> None:
        """Begin to prove. `directory` has the record of the server; without one the application alone is loaded anew.

        `generation` is that of the workers to come, `environ` may name NOTIFY_SOCKET.
        """
        self._begin(directory, generation, environ)
        if reason := self._write(PROVING):
            self.verdict = Verdict(False, reason)  # workers could not be told what has changed
            return
        # systemd wants both in one message. Source: sd_notify(3), RELOADING=1.
        stamp = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={stamp}", EXTENDED, "STATUS=proving the new code")
        if directory is None and VARIABLE not in os.environ:
            self.verdict = Verdict(True)  # a server that somebody started by hand, on an application of its own
            return
        try:
            self._reader, self._process = _prove(directory)
        except OSError as error:
            self.verdict = Verdict(False, f"there is no room for the proof: {error.strerror}")

    def _begin(self, directory: str | None, generation: int, environ: Mapping[str, str]) -> None:
        self.generation = generation
        self.verdict = None
        self._directory = directory
        self._environ = environ
        self._since = time.time()
        self._said = b""
        self._before: Mapping[str, Any] | None = None
        self.number = 1
        if directory is not None:
            self.number += int(instance.load(os.path.join(directory, instance.RELOAD)).get("number") or 0)

    @classmethod
    def refuse(cls, directory: str | None, generation: int, environ: Mapping[str, str], reason: str) -> None:
        """Note a reload that ends before it begins."""
        reload = cls.__new__(cls)
        reload._begin(directory, generation, environ)
        reload.end(reason)

    def carry(self) -> dict[str, Any]:
        """Return all there is to know of a reload whose verdict is in, as JSON could hold it."""
        assert self.verdict is not None
        names = ("generation", "_directory", "_since", "_before", "number")
        return {"verdict": self.verdict._asdict(), **{name: getattr(self, name) for name in names}}

    @classmethod
    def resume(cls, carried: Mapping[str, Any], environ: Mapping[str, str]) -> "Reload":
        """Go on with what `carry` returned, in another program of the same process."""
        reload = cls.__new__(cls)
        vars(reload).update(carried, _environ=environ, verdict=_verdict(carried["verdict"]))
        return reload

    def fileno(self) -> int:
        return self._reader

    def poll(self) -> Verdict | None:
        """Return the verdict; None while there is none."""
        if self.verdict is None:
            try:
                while said := os.read(self._reader, 65536):
                    self._said += said
            except BlockingIOError:
                return None
            os.close(self._reader)
            self._process.wait()  # a parent that reaps all its children may have been quicker; Popen takes that well
            self.verdict = _read(self._said)
            if self.verdict.ok and (reason := self._lay_out(self.verdict)):
                self.verdict = Verdict(False, reason)
        return self.verdict

    def _lay_out(self, verdict: Verdict) -> str:
        """Have workers that begin from now on load the application from the changed environment (`instance.refresh`).

        Returns why that cannot be.
        """
        if not self._directory:
            return ""
        self._before = instance.load(os.path.join(self._directory, instance.ENVIRONMENT))
        drop = {*self._before.get("drop", ()), *verdict.drop} - verdict.set.keys()
        kept = {name: text for name, text in self._before.get("set", {}).items() if name not in drop}
        return self._put(instance.ENVIRONMENT, {"set": {**kept, **verdict.set}, "drop": sorted(drop)})

    def replacing(self) -> None:
        """Note that the new code is good, and that workers which load it are about to start."""
        self._write(REPLACING)
        self._tell(EXTENDED, "STATUS=replacing the workers")

    def end(self, reason: str = "") -> None:
        """Note how it ended: well, or for a reason (one line) with the old workers still serving."""
        if self._directory and self.verdict and self.verdict.ok:
            if not reason:
                with suppress(OSError):  # the next proof compares with what ran before, then
                    instance.renew(self._directory, self.verdict.record)
            elif self._before is not None:
                self._put(instance.ENVIRONMENT, self._before)
        self._write(DONE, not reason, reason)
        self._tell("READY=1", f"STATUS=reload refused: {reason}" if reason else f"STATUS=generation {self.generation}")

    def fail(self, reason: str, instead: str) -> None:
        """Note that it has failed where nothing can be taken back, and what the server does instead of serving on."""
        self._write(DONE, False, reason, instead)
        self._tell("READY=1", f"STATUS=reload failed: {reason}")

    def stop(self) -> None:
        """Give up: the server stops."""
        if self.verdict is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except OSError:
                pass
            os.close(self._reader)
            self._process.wait()
        self._write(DONE, False, "it was told to meanwhile", "the server stops")

    def _tell(self, *lines: str) -> None:
        tell(*lines, environ=self._environ)

    def _write(self, phase: str, ok: bool | None = None, reason: str = "", instead: str = "") -> str:
        if self._directory is None:
            return ""
        values: dict[str, Any] = {"number": self.number, "phase": phase, "ok": ok, "reason": reason}
        values |= {"generation": self.generation, "since": self._since, "until": time.time() if phase == DONE else None}
        if instead:
            values["instead"] = instead
        if self.verdict is not None:
            values |= {"changed": dict(self.verdict.changed), "trace": self.verdict.trace}
        return self._put(instance.RELOAD, values)

    def _put(self, name: str, values: Mapping[str, Any]) -> str:
        """Write a file of the record; return why that cannot be: it has gone with the server, or the disk is full."""
        assert self._directory is not None
        path = os.path.join(self._directory, name)
        try:
            instance.write(path, values)
        except OSError as error:
            return f"{path} cannot be written: {error.strerror}"
        return ""


def _prove(directory: str | None) -> tuple[int, "subprocess.Popen[bytes]"]:
    """Start the proof; return where its verdict can be read, without waiting. Raises OSError."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    whole = ["launcher", "prove", directory or "", str(writer)]
    alone = ["launcher.runners.probe", "application", "--result-fd", str(writer)]
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", *(whole if directory else alone)],
            stdin=subprocess.DEVNULL,
            pass_fds=[writer],
            start_new_session=True,
        )
    except OSError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return reader, process


def _read(said: bytes) -> Verdict:
    try:
        values = json.loads(said)
        if "argv" in values:
            return _verdict(values)
        return Verdict(values["ok"], " ".join(values.get("message", "").split()), values.get("traceback", ""))
    except (ValueError, TypeError, KeyError):
        return Verdict(False, "the process that was to prove the new code ended without a word")


def _verdict(values: Mapping[str, Any]) -> Verdict:
    return Verdict(**{**values, "argv": tuple(values["argv"]), "drop": tuple(values["drop"])})
