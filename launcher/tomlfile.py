"""TOML files whose values know their lines."""

import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

from .errors import Exit, Finding, LaunchError
from .origin import Origin

Key = tuple[str | int, ...]


class TomlFile(NamedTuple):
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
        with open(path, "rb") as file:
            text = file.read().decode()
        return TomlFile(name, tomllib.loads(text), locate(text))
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise LaunchError(Finding("unreadable-file", message, "", Origin(layer, name), Exit.PROFILE)) from error
    except UnicodeDecodeError as error:
        where = Origin(layer, name, error.object[: error.start].count(b"\n") + 1)
        raise LaunchError(
            Finding("malformed-toml", "is not UTF-8", "Save it as UTF-8.", where, Exit.PROFILE)
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        message, line = _complaint(error, text)
        finding = Finding("malformed-toml", f"malformed TOML: {message}", "", Origin(layer, name, line), Exit.PROFILE)
        raise LaunchError(finding) from error


def _complaint(error: Exception, text: str) -> tuple[str, int | None]:
    """Split tomllib's message, `Expected '=' (at line 3, column 5)`, into text and line."""
    if isinstance(error, RecursionError):
        return "nested too deeply", None
    message, _, place = str(error).partition(" (at ")
    message = message[:1].lower() + message[1:]
    if place.startswith("end of document"):
        return f"{message}, at the end of the file", max(1, text.count("\n") + (not text.endswith("\n")))
    digits = place.removeprefix("line ").partition(",")[0]
    return (message, int(digits)) if digits.isdigit() else (message, None)


def locate(text: str) -> dict[Key, int]:
    """Return the line of every key and array element of a valid TOML document. Source: TOML 1.0."""
    return _Locator(text.replace("\r\n", "\n")).document()


class _Locator:
    """A walk over the text; tomllib has checked it, so only what carries positions is told apart."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lines: dict[Key, int] = {}
        self._tables: dict[Key, int] = {}

    def document(self) -> dict[Key, int]:
        table: Key = ()
        while self._blank("\n"):
            if self._peek() == "[":
                array = self._text.startswith("[[", self._at)
                self._skip(2 if array else 1)
                table = self._resolve(self._key("]"))
                self._skip(2 if array else 1)
                if array:
                    self._tables[table] = self._tables.get(table, -1) + 1
                    table = (*table, self._tables[table])
                self._mark(table, 1, self._line)
            else:
                self._pair(table)
        return self._lines

    def _resolve(self, key: Key) -> Key:
        """Insert the current index after each array of tables on the way to `key`."""
        path: Key = ()
        for position, part in enumerate(key):
            path = (*path, part)
            if path in self._tables and position < len(key) - 1:
                path = (*path, self._tables[path])
        return path

    def _pair(self, table: Key) -> None:
        line = self._line
        key = (*table, *self._key("="))
        self._skip(1)
        self._mark(key, len(table) + 1, line)
        self._blank()
        self._value(key)

    def _mark(self, key: Key, first: int, line: int) -> None:
        for length in range(first, len(key) + 1):
            self._lines.setdefault(key[:length], line)

    def _value(self, key: Key) -> None:
        start = self._peek()
        if start in "\"'":
            self._string()
        elif start == "[":
            self._skip(1)
            index = 0
            while self._blank("\n,") and self._peek() != "]":
                self._lines[(*key, index)] = self._line
                self._value((*key, index))
                index += 1
            self._skip(1)
        elif start == "{":
            self._skip(1)
            while self._blank("\n,") and self._peek() != "}":
                self._pair(key)
            self._skip(1)
        else:
            while self._at < len(self._text) and self._peek() not in ",]}#\n":
                self._skip(1)

    def _key(self, end: str) -> Key:
        parts: list[str | int] = []
        while self._blank() and self._peek() != end:
            if self._peek() in "\"'":
                start = self._at
                self._string()
                parts.append(next(iter(tomllib.loads(f"{self._text[start : self._at]} = 0"))))
            elif self._peek() == ".":
                self._skip(1)
            else:
                start = self._at
                while self._peek() not in ". \t" + end:
                    self._skip(1)
                parts.append(self._text[start : self._at])
        return tuple(parts)

    def _string(self) -> None:
        quote = self._peek()
        fence = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._skip(len(fence))
        while not self._text.startswith(fence, self._at):
            self._skip(2 if quote == '"' and self._peek() == "\\" else 1)
        self._skip(len(fence))
        while len(fence) == 3 and self._peek() == quote:  # up to two quotes may stand before the fence
            self._skip(1)

    def _blank(self, also: str = "") -> bool:
        """Skip white space, comments and `also`; return whether anything is left."""
        while self._at < len(self._text):
            character = self._peek()
            if character == "#":
                end = self._text.find("\n", self._at)
                self._skip((end if end >= 0 else len(self._text)) - self._at)
            elif character in " \t" or character in also:
                self._skip(1)
            else:
                return True
        return False

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count
