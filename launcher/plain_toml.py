"""Plain TOML, read without a library: what most profiles are made of.

`tomllib` and what it imports take 10 ms of a start. Read here are comments, `[table]` headers, bare keys, single-line
text without escapes, whole numbers, true and false, lists and inline tables of these. Whatever else a file holds, and
whatever is wrong with it, is left to the library; a law of the tests says that both read the same.
"""

from __future__ import annotations

from .lean import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

Key = tuple[str | int, ...]


class NotPlain(Exception):
    """The text holds something that is left to the library."""


def read_plain(text: str) -> tuple[dict[str, Any], dict[Key, int]]:
    """Return the values of a document, and the line of every key and array element. Raises NotPlain."""
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise NotPlain  # control characters, and what may be one
    return _Reader(text).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Key, int] = {}

    def document(self) -> tuple[dict[str, Any], dict[Key, int]]:
        root: dict[str, Any] = {}
        table: dict[str, Any] = root
        name: tuple[str, ...] = ()
        tables: dict[Key, dict[str, Any]] = {(): root}
        while self._blank("\n"):
            if self._peek() == "[":
                name = self._header()
                table = self._open(tables, name)
            else:
                self._pair(table, name)
            self._blank()
            if self._peek() not in ("\n", ""):
                raise NotPlain
        return root, self._lines

    def _header(self) -> tuple[str, ...]:
        end = self._text.find("]", self._at)
        name = tuple(part.strip(" \t") for part in self._text[self._at + 1 : end].split("."))
        if end < 0 or not all(map(_bare, name)):
            raise NotPlain
        for length in range(1, len(name) + 1):
            self._lines.setdefault(name[:length], self._line())
        self._at = end + 1
        return name

    def _open(self, tables: dict[Key, dict[str, Any]], name: tuple[str, ...]) -> dict[str, Any]:
        """Return the new table of a header; what is already there, in any form, is left to the library."""
        if name in tables:
            raise NotPlain
        for length, part in enumerate(name):
            above, path = tables[name[:length]], name[: length + 1]
            if path not in tables:
                if part in above:
                    raise NotPlain
                tables[path] = above[part] = {}
        return tables[name]

    def _pair(self, table: dict[str, Any], path: Key) -> None:
        key = self._word("=")
        if not _bare(key) or key in table:
            raise NotPlain
        self._lines[(*path, key)] = self._line()
        self._expect("=")
        self._blank()
        table[key] = self._value((*path, key))

    def _value(self, path: Key) -> Any:
        first = self._peek()
        if first in ("'", '"'):
            return self._string(first)
        if first == "[":
            return self._list(path)
        if first == "{":
            return self._table(path)
        word = self._word(",]}#\n")
        if word in ("true", "false"):
            return word == "true"
        digits = word.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or (digits[0] == "0" and len(digits) > 1) or len(digits) > 18:
            raise NotPlain
        return int(word)

    def _string(self, quote: str) -> str:
        end = self._text.find(quote, self._at + 1)
        value = self._text[self._at + 1 : end]
        if end < 0 or "\n" in value or (quote == '"' and "\\" in value) or self._text.startswith(quote * 3, self._at):
            raise NotPlain
        self._at = end + 1
        return value

    def _list(self, path: Key) -> list[Any]:
        self._expect("[")
        items: list[Any] = []
        while self._blank("\n") and self._peek() != "]":
            if items:
                self._expect(",")
                self._blank("\n")
                if self._peek() == "]":
                    break
            at = (*path, len(items))
            self._lines[at] = self._line()
            items.append(self._value(at))
        self._expect("]")
        return items

    def _table(self, path: Key) -> dict[str, Any]:
        self._expect("{")
        table: dict[str, Any] = {}
        while self._blank() and self._peek() != "}":
            if table:
                self._expect(",")
                self._blank()
            self._pair(table, path)
        self._expect("}")
        return table

    def _word(self, ends: str) -> str:
        """Take what stands before any of `ends`."""
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in ends:
            self._at += 1
        return self._text[start : self._at].strip(" \t")

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise NotPlain
        self._at += 1

    def _blank(self, also: str = "") -> bool:
        """Skip white space, comments and `also`; return whether anything is left."""
        while character := self._peek():
            if character == "#":
                end = self._text.find("\n", self._at)
                self._at = end if end >= 0 else len(self._text)
            elif character in " \t" or character in also:
                self._at += 1
            else:
                return True
        return False

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1


def _bare(key: str) -> bool:
    """Return whether a key needs no quotes. Source: TOML 1.0, Keys."""
    return key.isascii() and key.replace("-", "").replace("_", "").isalnum()
