"""Files of environment variables: NAME=VALUE lines."""

from __future__ import annotations

from .errors import Exit, Finding, unreadable
from .origin import Layer, Origin, Setting


def read_env_file(path: str, shown: str, asked: Origin) -> tuple[list[tuple[str, Setting[str]]], list[Finding]]:
    """Read lines of `NAME=VALUE`, with or without `export`, in their order.

    Single quotes keep everything; in double quotes a backslash escapes `"`, `\\`, `$` and n. Nothing is expanded.
    A `#` at the start of a line, or after white space outside quotes, begins a comment.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().removeprefix("\ufeff").split("\n")
    except OSError as error:
        message = f"env_file {shown} cannot be read: {error.strerror}"
        return [], [unreadable(shown, error)._replace(message=message, origin=asked)]
    except UnicodeDecodeError:
        message = f"env_file {shown} cannot be read: it is not UTF-8"
        return [], [Finding("unreadable-file", message, "Save it as UTF-8.", asked, Exit.PROFILE)]
    variables: list[tuple[str, Setting[str]]] = []
    findings: list[Finding] = []
    expanding: Origin | None = None
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, rest = text.partition("=")
        name = name.strip()
        value, after = _value(rest)
        where = Origin(Layer.PROFILE, shown, number, name)
        if not equals or not name.isidentifier() or (after and not after.startswith("#")):
            findings.append(Finding("malformed-env-file", "is not NAME=VALUE", "", where, Exit.PROFILE))
        elif after is None:
            message = f"the quote of {name} is not closed: a value is one line"
            fix = r"Write \n for a new line, in double quotes. What follows was not read."
            findings.append(Finding("malformed-env-file", message, fix, where, Exit.PROFILE))
            break  # the lines below may be more of it
        else:
            variables.append((name, Setting(value, where)))
            if not rest.lstrip().startswith("'") and "${" in value and "${" in rest.replace(r"\$", ""):
                expanding = expanding or where
    if expanding is not None:
        message = f"${{...}} in {expanding.key} stays as it is: nothing is expanded in env_file"
        findings.append(Finding("not-expanded", message, "", expanding, severity="note"))
    return variables, findings


def _value(text: str) -> tuple[str, str | None]:
    """Return a value without its quotes, and what follows it; None for that where a quote is not closed."""
    plain, text = text, text.strip()
    quote = text[:1]
    if quote not in ("'", '"') or not quote:
        comments = (at for at, letter in enumerate(plain) if letter == "#" and plain[at - 1 : at].isspace())
        return plain[: next(comments, len(plain))].strip(), ""
    value, at = "", 1
    while at < len(text) and text[at] != quote:
        if quote == '"' and text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\", "$", "n"):
            at += 1
            value += "\n" if text[at] == "n" else text[at]
        else:
            value += text[at]
        at += 1
    return value, text[at + 1 :].strip() if at < len(text) else None
