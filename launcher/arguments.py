"""The command line of a start, read without a library.

`serve`, `serve --profile prod --server uwsgi`, `serve mysite.wsgi`: on this path every millisecond before exec
counts, and importing click takes 40 of them. What is read here means the same to click (a law of the tests says
so); whatever is not plain, such as help, an unknown flag or another command, is left to click altogether.
"""

from __future__ import annotations

from .kinds import Flag
from .lean import TYPE_CHECKING
from .options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence


Said = dict[str, tuple[str, ...]]

FLAGS = {option.flag: option.name for option in OPTIONS.values() if option.name != "app"}
NEGATIONS = {f"--no-{option.flag[2:]}": option.name for option in OPTIONS.values() if isinstance(option.kind, Flag)}


def read_start(argv: Sequence[str]) -> Said | None:
    """Return what a plain start says, option -> texts; None where click has to look at it."""
    said: dict[str, list[str]] = {}
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if word.startswith("-"):
            name = FLAGS.get(flag) or NEGATIONS.get(flag)
            if name is None:
                return None
            if isinstance(OPTIONS[name].kind, Flag):
                if equals:
                    return None
                value = "false" if flag in NEGATIONS else "true"
            elif not equals:
                following = next(words, None)
                if following is None or following.startswith("-"):
                    return None
                value = following
        elif "app" in said or not looks_like_app(word):
            return None
        else:
            name, value = "app", word
        said.setdefault(name, []).append(value)
    return {name: tuple(texts) for name, texts in said.items()}


def looks_like_app(word: str) -> bool:
    """Return whether a word names an application: it holds a dot or a colon, as no command does, and is no address."""
    return ("." in word or ":" in word) and not looks_like_address(word)


def looks_like_address(word: str) -> bool:
    """Return whether a word ends with a port, as no name of an application does."""
    return word.rpartition(":")[2].isdigit()
