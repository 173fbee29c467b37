"""Native commands, and the rules that turn options into a server's own words."""

from __future__ import annotations

from .lean import TYPE_CHECKING, Record
from .measures import decimal
from .options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


Words = tuple[str, ...]


class Refusal(Exception):
    """A value that a server cannot honour: why, and what to do instead."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


class Rule(Record):
    """How one server honours one option."""

    how: str
    """`exact`, `approximate`, `supplied` or `impossible`."""
    words: Callable[[Any, Options], Words]
    """(value, all options) -> the words it becomes. Raises Refusal. A value of None never gets here."""
    natives: tuple[str, ...] = ()
    """Native names the rule speaks for: `[native.SERVER]` may not repeat them."""
    note: str = ""
    """The difference in words, the way it is supplied, or the reason why not."""
    hook: str = ""
    """Where the server has no word for it: key under which hooks of ours find the value in a worker."""
    wordless: str = "nothing: the server does so by itself"
    """What does it where the value becomes no words. Where it is supplied, `note` says."""

    @property
    def shown(self) -> str:
        """`how`, as a person reads it wherever it is printed."""
        return "supplied by us" if self.how == "supplied" else self.how

    def but(self, difference: str) -> Rule:
        """Return the rule as an approximate one."""
        return self._replace(how="approximate", note=difference)

    def only(self, check: Callable[[Any, Options], None]) -> Rule:
        """Return the rule with a check of the value first."""

        def words(value: Any, options: Options) -> Words:
            check(value, options)
            return self.words(value, options)

        return self._replace(words=words)


def _plain(value: Any) -> str:
    return decimal(value) if isinstance(value, float) else str(value)


def flag(
    name: str, *aliases: str, value: Callable[[Any], str] = _plain, zero: bool = True, joined: bool = False
) -> Rule:
    """Return the rule `--name VALUE`; with `zero` false, 0 says nothing because it is the server's own.

    `aliases` are other spellings a person might use under `[native.SERVER]`.
    """

    def words(raw: Any, options: Options) -> Words:
        if not zero and not raw:
            return ()
        text = value(raw)
        return (f"{name}={text}",) if joined else (name, text)

    return Rule("exact", words, (_bare(name), *map(_bare, aliases)))


def switch(on: str = "", off: str = "", aliases: Iterable[str] = ()) -> Rule:
    """Return the rule for a fact: one word when it is so, another when it is not."""

    def words(raw: Any, options: Options) -> Words:
        word = on if raw else off
        return (word,) if word else ()

    return Rule("exact", words, tuple(_bare(name) for name in (on, off, *aliases) if name))


def each(name: str, *aliases: str) -> Rule:
    """Return the rule that repeats `--name VALUE` for every item of a list."""

    def words(raw: Any, options: Options) -> Words:
        return tuple(word for item in raw for word in (name, str(item)))

    return Rule("exact", words, (_bare(name), *map(_bare, aliases)))


def compute(words: Callable[[Any, Options], Words], *natives: str) -> Rule:
    """Return a rule with words of its own making."""
    return Rule("exact", words, tuple(map(_bare, natives)))


def hook(name: str, note: str) -> Rule:
    """Return the rule for what hooks of ours supply inside a server: the value travels in the environment."""
    return Rule("supplied", lambda value, options: (), note=note, hook=name)


def impossible(reason: str, *, harmless: Callable[[Any], bool] = lambda value: not value) -> Rule:
    """Return the rule that refuses every value but those which ask for nothing (0, off, false)."""

    def words(raw: Any, options: Options) -> Words:
        if harmless(raw):
            return ()
        raise Refusal(reason)

    return Rule("impossible", words, note=reason)


def whole_seconds(value: Any, options: Options) -> None:
    """Refuse a fraction of a second where a server counts whole ones."""
    if value != int(value):
        raise Refusal("it counts whole seconds", "Give a whole number of seconds.")


def some_time(value: Any, options: Options) -> None:
    """Refuse `off` where a server cannot wait without an end: 0 is no time at all to it."""
    if not value:
        raise Refusal("it cannot wait without an end", 'Give a time, such as "1h".')


def _bare(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


class NativeCommand(Record):
    """The command that serves, as a person could type it."""

    parts: tuple[tuple[str, Words], ...]
    """(option or "", words), in order: argv with every word's reason."""
    env_set: Mapping[str, str]
    env_drop: tuple[str, ...]
    cwd: str

    @property
    def argv(self) -> Words:
        return tuple(word for _, words in self.parts for word in words)

    @property
    def trace(self) -> Mapping[str, Words]:
        """Option -> the words it became."""
        traced: dict[str, Words] = {}
        for option, words in self.parts:
            if option:
                traced[option] = (*traced.get(option, ()), *words)
        return traced

    def replacing(self, option: str, replacement: Words) -> NativeCommand:
        """Return the command with an option's words replaced."""
        return self._replace(
            parts=tuple((name, replacement if name == option else words) for name, words in self.parts)
        )

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment the server gets when started from `environ`."""
        kept = {name: value for name, value in environ.items() if name not in self.env_drop}
        return {**kept, **self.env_set}


def shell_line(command: NativeCommand, secrets: Mapping[str, str]) -> str:
    """Return one line for a POSIX shell that does the same. Quoting is shlex's.

    A variable of `secrets` is not written down: the shell takes it from its own, and where it has none refuses the
    line with the words given here.
    """
    import shlex  # only where a command is printed

    from .quoting import shell_reference

    words = [word for name in command.env_drop for word in ("-u", shlex.quote(name))]
    for name, value in command.env_set.items():
        if name in secrets:
            words.append(f"{shlex.quote(name)}={shell_reference(name, secrets[name])}")
        else:
            words.append(shlex.quote(f"{name}={value}"))
    line = " ".join([*(["env", *words] if words else []), shlex.join(command.argv)])
    return f"cd {shlex.quote(command.cwd)} && {line}"
