"""TOML files whose values know their lines."""

from __future__ import annotations

from .errors import Exit, Finding, LaunchError, unreadable
from .lean import TYPE_CHECKING, Record, read_file
from .origin import Origin
from .plain_toml import Key, NotPlain, read_plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class TomlFile(Record):
    """A parsed file."""

    name: str
    """As a person would type it."""
    data: Mapping[str, Any]
    lines: Mapping[Key, int]
    """Line of each key, by path: `("env", "DEBUG")`, `("middleware", 1)`; 1 for the first line."""

    def line(self, *key: str | int) -> int | None:
        """Return the line of a key, or of the nearest table around it."""
        path = key
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return None


def read_toml(path: str, name: str, layer: str) -> TomlFile:
    """Read a file. Raises LaunchError (exit status 3) where it cannot be read or is malformed."""
    try:
        # TOML 1.0 leaves a byte order mark to its readers; editors on Windows write one.
        text = read_file(path).decode().removeprefix("\ufeff")
        return TomlFile(name, *_read(text, name, layer))
    except OSError as error:
        raise LaunchError(unreadable(name, error, layer)) from error
    except UnicodeDecodeError as error:
        where = Origin(layer, name, error.object[: error.start].count(b"\n") + 1)
        raise LaunchError(
            Finding("malformed-toml", "is not UTF-8", "Save it as UTF-8.", where, Exit.PROFILE)
        ) from error


def mentions(path: str, word: str) -> bool:
    """Return whether a key of a file could be `word`: a quick look that spares a start the reading of the rest."""
    try:
        text = read_file(path)
    except OSError:
        return True  # whoever reads it says why it cannot be read
    return word.encode() in text or b"\\u" in text.lower()


def _read(text: str, name: str, layer: str) -> tuple[dict[str, Any], dict[Key, int]]:
    try:
        return read_plain(text)
    except NotPlain:
        from .whole_toml import Malformed, read_whole  # 10 ms, which plain files need not pay for
    try:
        return read_whole(text)
    except Malformed as error:
        where = Origin(layer, name, error.line)
        finding = Finding("malformed-toml", f"malformed TOML: {error.message}", "", where, Exit.PROFILE)
        raise LaunchError(finding) from error
