"""Files of environment variables: NAME=VALUE lines."""

from .errors import Exit, Finding
from .origin import Layer, Origin


def read_env_file(path: str, shown: str, asked: Origin) -> tuple[dict[str, str], list[Finding]]:
    """Read lines of `NAME=VALUE`, with or without `export`.

    Single quotes keep everything; in double quotes a backslash escapes `"`, `\\`, `$` and n. Nothing is expanded.
    A `#` at the start of a line, or after white space outside quotes, begins a comment.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        finding = Finding("unreadable-file", f"env_file {shown} cannot be read: {reason}", "", asked, Exit.PROFILE)
        return {}, [finding]
    variables: dict[str, str] = {}
    findings: list[Finding] = []
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, rest = text.partition("=")
        value = _value(rest.strip())
        if not equals or not name.strip().isidentifier() or value is None:
            where = Origin(Layer.PROFILE, shown, number)
            findings.append(Finding("malformed-env-file", "is not NAME=VALUE", "", where, Exit.PROFILE))
        else:
            variables[name.strip()] = value
    return variables, findings


def _value(text: str) -> str | None:
    """Return a value without its quotes and comment; None where a quote is not closed."""
    quote = text[:1]
    if quote not in ("'", '"') or not quote:
        return text.partition(" #")[0].rstrip()
    value, at = "", 1
    while at < len(text) and text[at] != quote:
        if quote == '"' and text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\", "$", "n"):
            at += 1
            value += "\n" if text[at] == "n" else text[at]
        else:
            value += text[at]
        at += 1
    rest = text[at + 1 :].strip()
    return value if at < len(text) and (not rest or rest.startswith("#")) else None
