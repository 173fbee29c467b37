"""Answers about a project's modules, kept from one start to the next as Python keeps bytecode.

To read and follow settings takes a sixth of what a start spends before exec. What answers rest on is compared anew
at every start (launcher.seen), so that they hold as those of a reader do. They are kept where Python would keep the
bytecode of a module in the project's directory, under the same conditions, and by the directory's owner alone: what
root left there the owner could not write again.
"""

from __future__ import annotations

import os
import sys
import time

from .answers import Answer, ModuleFile, SettingsNamed
from .jsontext import read_json, write_json
from .lean import TYPE_CHECKING
from .seen import Seen, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .syntax import Reader


TICK_NS = 2_000_000_000
"""The coarsest clock of a file system that Python modules lie on (FAT has 2 s), in nanoseconds."""

WHO_ANSWERS = tuple(
    os.path.join(os.path.dirname(__file__), f"{name}.py")
    for name in ("answers", "bindings", "kept_answers", "seen", "source", "syntax", "toplevel", "tree")
)
"""Another version of these may answer otherwise."""


class KeptReader:
    """Answers as a `syntax.Reader` does, which is made where an answer is not known yet."""

    def __init__(self, path: Sequence[str], project: str) -> None:
        self.path = tuple(path)
        self._for = [sys.version, *path]
        self._project = project
        self._file = os.path.join(project, "__pycache__", f"serve.{sys.implementation.cache_tag}.json")
        self._seen = Seen({}, {}, {})
        self._answers: dict[str, Any] = {}
        self._reader: Reader | None = None
        self._recall()

    def find(self, module: str) -> ModuleFile | None:
        """Find what `import module` would load."""
        found = self._ask("find", module)
        return None if found is None else ModuleFile(found[0], found[1], found[2] if found[2] is None else (*found[2],))

    def read_name(self, module: str, name: str) -> Answer:
        """Say what `module.name` is once the module is imported."""
        return Answer(*self._ask("read_name", module, name))

    def defines(self, module: str, name: str) -> bool | None:
        """Whether importing `module` surely binds `name` (True), surely does not (False), or nobody can say."""
        answer: bool | None = self._ask("defines", module, name)
        return answer

    def names(self, module: str) -> tuple[str, ...]:
        """Return the public names that `module` surely binds, as far as they can be read."""
        return tuple(self._ask("names", module))

    def settings_named_in(self, file: str) -> SettingsNamed | None:
        """Read the settings module that `file` puts into the environment, anywhere in it."""
        named = self._ask("settings_named_in", file)
        return None if named is None else SettingsNamed(*named)

    def keep(self) -> None:
        """Keep the answers for the next start, if there is a new one and it is safe and welcome to."""
        reader = self._reader
        if reader is None or sys.dont_write_bytecode or sys.pycache_prefix:
            return
        self._seen.add(reader.seen)
        self._seen.files.update({file: state_of(file) for file in WHO_ANSWERS})
        try:
            if self._seen.settled_before(time.time_ns() - TICK_NS) and os.stat(self._project).st_uid == os.geteuid():
                os.makedirs(os.path.dirname(self._file), exist_ok=True)
                kept = {"for": self._for, "seen": self._seen, "answers": self._answers}
                write_json(self._file, kept, 0o666)
        except OSError:
            pass  # the next start reads again

    def _recall(self) -> None:
        kept = read_json(self._file)
        try:
            seen = Seen(*kept["seen"])
            if kept["for"] == self._for and seen.holds():
                self._seen, self._answers = seen, kept["answers"]
        except (KeyError, TypeError, AttributeError):
            pass  # not there, or not what we wrote

    def _ask(self, question: str, *about: str) -> Any:
        key = "\n".join((question, *about))
        if key not in self._answers:
            if self._reader is None:
                from .syntax import Reader

                self._reader = Reader(self.path)
            self._answers[key] = getattr(self._reader, question)(*about)
        return self._answers[key]
