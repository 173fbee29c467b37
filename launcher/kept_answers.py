"""Answers about a project's modules, kept from one start to the next as Python keeps bytecode.

To read and follow settings takes a sixth of what a start spends before exec. What answers rest on is compared anew
at every start (launcher.seen), so that they hold as those of a reader do. They are kept where Python would keep the
bytecode of a module in the project's directory, where it may, and by the directory's owner alone: what root left
there the owner could not write again.
"""

from __future__ import annotations

import _imp
import os
import stat
import sys
import time

from .answers import Answer, ModuleFile, SettingsNamed
from .jsontext import from_json, to_json
from .lean import TYPE_CHECKING, read_file, write_file
from .seen import Seen, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .syntax import Reader


TICK_NS = 2_000_000_000
"""The coarsest clock of a file system that Python modules lie on (FAT has 2 s), in nanoseconds."""

SIZE_LIMIT = 1 << 20
"""Bytes; what is larger was not written here."""

DIGEST_SIZE = 8
"""Bytes, at the beginning of the file."""

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
        # Nothing but bytecode ends like that, and version control and deployments leave it out.
        self._file = os.path.join(project, "__pycache__", f"serve.{sys.implementation.cache_tag}.answers.pyc")
        self._known, self._rests_on = self._recall()
        self._read: dict[str, Any] = {}
        self._reader: Reader | None = None
        self._began = 0

    def find(self, module: str) -> ModuleFile | None:
        """Find what `import module` would load."""
        found = self._ask("find", module)
        if found is None:
            return None
        name, file, folders = found
        return ModuleFile(name, file, None if folders is None else tuple(folders))

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

    def looked_at(self) -> frozenset[str]:
        """Return the paths that the answers rest on; another file there may change them."""
        seen = self._reader.seen if self._reader is not None else Seen({}, {}, {})
        return frozenset((*self._rests_on.kinds, *self._rests_on.files, *seen.kinds, *seen.files))

    def keep(self) -> None:
        """Keep the answers for the next start, if there is a new one and it is safe and welcome to."""
        if self._reader is None or sys.dont_write_bytecode or sys.pycache_prefix:
            return
        answers, seen = self._read, self._reader.seen
        if self._rests_on.add(seen):
            answers, seen = {**self._known, **self._read}, self._rests_on
        try:
            if seen.settled_before(self._began - TICK_NS) and os.stat(self._project).st_uid == os.geteuid():
                os.makedirs(os.path.dirname(self._file), exist_ok=True)
                text = to_json({"for": self._for, "seen": seen, "answers": answers}).encode("utf-8", "surrogatepass")
                write_file(self._file, _digest(text) + text, 0o644)
        except OSError:
            pass  # the next start reads again

    def _recall(self) -> tuple[dict[str, Any], Seen]:
        """Return the answers that still hold, and what they rest on."""
        try:
            found = os.stat(self._file)
            private = found.st_uid == os.stat(self._project).st_uid and not found.st_mode & 0o022
            if private and stat.S_ISREG(found.st_mode) and found.st_size <= SIZE_LIMIT:
                content = read_file(self._file)
                text = content[DIGEST_SIZE:]
                if content[:DIGEST_SIZE] == _digest(text):
                    kept = from_json(text.decode("utf-8", "surrogatepass"))
                    seen = Seen(*kept["seen"])
                    if kept["for"] == self._for and seen.holds():
                        return kept["answers"], seen
        except OSError:
            pass
        return {}, Seen({}, {}, {})

    def _ask(self, question: str, *about: str) -> Any:
        key = "\n".join((question, *about))
        if key in self._known:
            return self._known[key]
        if key not in self._read:
            if self._reader is None:
                self._began, ours = time.time_ns(), {file: state_of(file) for file in WHO_ANSWERS}
                from .syntax import Reader

                self._reader = Reader(self.path)
                self._reader.seen.files.update(ours)
            self._read[key] = getattr(self._reader, question)(*about)
        return self._read[key]


def _digest(text: bytes) -> bytes:
    """Return what tells a file that is whole, and of this format. Source: importlib.util.source_hash."""
    return _imp.source_hash(1, text)
