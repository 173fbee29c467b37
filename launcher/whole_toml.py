"""Any TOML document, by the standard library, with the lines that `tomllib` does not tell."""

from __future__ import annotations

import tomllib

from .lean import TYPE_CHECKING
from .plain_toml import Key

if TYPE_CHECKING:
    from typing import Any


class Malformed(Exception):
    """What is wrong with a document, and on which line, where that is known."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.message, self.line = message, line


def read_whole(text: str) -> tuple[dict[str, Any], dict[Key, int]]:
    """Return the values of a document, and the line of every key and array element. Raises Malformed."""
    try:
        return tomllib.loads(text), locate(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Malformed(*_complaint(error, text)) from error


def _complaint(error: Exception, text: str) -> tuple[str, int | None]:
    """Split tomllib's message, `Expected '=' (at line 3, column 5)`, into text and line."""
    if isinstance(error, RecursionError):
        return "nested too deeply", None
    message, _, place = str(error).partition(" (at ")
    message = message[:1].lower() + message[1:]
    if place.startswith("end of document"):
        return f"{message}, at the end of the file", max(1, text.count("\n") + (not text.endswith("\n")))
    digits = place.removeprefix("line ").partition(",")[0]
    if not digits.isdigit():
        return message, None
    if message == "cannot overwrite a value":  # which, it does not say
        key = text.splitlines()[int(digits) - 1].partition("=")[0].strip("[] \t")
        message = f"{key} has a value already" if key else message
    return message, int(digits)


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
