"""Text as a systemd unit holds it, and references to variables as a shell reads them; else shells are left to shlex.

Source: systemd.syntax(7), systemd.service(5) and systemd.unit(5), systemd 252; "Parameter Expansion" and
"Double-Quotes", POSIX.1-2017, XCU 2.
"""

from __future__ import annotations

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-")
ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def systemd_word(text: str) -> str:
    """Return one word of ExecStart=, Environment= and whatever else is split at spaces. Raises ValueError.

    Specifiers are doubled. `$` is left alone: it means nothing in Environment=, nor in an Exec line that begins
    with `:`, as ours do.
    """
    if "\0" in text or not _is_unicode(text):
        raise ValueError("holds a NUL, or bytes that are no UTF-8")
    quoted = "".join(ESCAPES.get(character) or _visible(character) for character in text).replace("%", "%%")
    return quoted if text and PLAIN.issuperset(quoted) else f'"{quoted}"'


def _visible(character: str) -> str:
    return f"\\x{ord(character):02x}" if character < " " or character == "\x7f" else character


def systemd_value(text: str) -> str:
    """Return a value that systemd takes whole, such as a path of WorkingDirectory=.

    There is no way to write some of them. Raises ValueError.
    """
    if any(character < " " or character == "\x7f" for character in text) or not _is_unicode(text):
        raise ValueError("holds a control character, or bytes that are no UTF-8")
    if not text or text != text.strip(" ") or text.endswith("\\"):
        raise ValueError("is empty, or begins or ends with a space, or ends with a backslash")
    return text.replace("%", "%%")


def shell_reference(name: str, message: str) -> str:
    """Return one word of a POSIX shell: the value of a variable, or an end with `message` where it is unset or empty.

    A name that no shell takes is referred to with underscores for what is foreign to it; what could mean something to
    a shell is shown as `?` in the message.
    """
    known = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    known = f"_{known}" if known[:1].isdigit() else known
    # Shells do not agree on what a quote is there.
    plain = "".join(letter if letter.isprintable() and letter not in "\\\"'`$!{}" else "?" for letter in message)
    return f'"${{{known}:?{plain}}}"'


def _is_unicode(text: str) -> bool:
    """Return whether a text is all characters: undecodable bytes of file names are not."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
