"""What is quoted is read back as it was. The reader of units is written from systemd.syntax(7) and systemd.service(5),
systemd 252; `tests/systemd` asks systemd itself. Shells are asked themselves."""

import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.quoting import shell_reference, systemd_value, systemd_word

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
WORDS = st.lists(st.one_of(TEXT, st.text("%$\\\"'; \n\t{}a@-:+!#"), st.sampled_from(["", ";", "%%", "${HOME}", "\\"])))


def read_words(line: str) -> list[str]:
    """Split a line as systemd does: quotes, C escapes, then specifiers."""
    assert "\n" not in line
    words = []
    rest = line
    while rest := rest.lstrip(" \t"):
        if rest[0] == '"':
            match = re.match(r'"((?:[^"\\]|\\.)*)"(?: |$)', rest)
            assert match, rest
            word = re.sub(r"\\(x[0-9a-f]{2}|.)", unescaped, match[1])
        else:
            match = re.match(r"([^ \t\"'\\;]+)(?: |$)", rest)
            assert match, rest
            word = match[1]
        rest = rest[match.end() :]
        assert re.fullmatch("([^%]|%%)*", word, re.DOTALL), f"a specifier in {word!r}"
        words.append(word.replace("%%", "%"))
    return words


def unescaped(match: "re.Match[str]") -> str:
    plain = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"'}
    return plain[match[1]] if len(match[1]) == 1 else chr(int(match[1][1:], 16))


@given(WORDS)
def test_words_are_read_back(words: list[str]) -> None:
    assert read_words(" ".join(map(systemd_word, words))) == words


@given(TEXT)
def test_a_word_that_needs_no_quotes_has_none(text: str) -> None:
    assert (systemd_word(text) == text) == bool(re.fullmatch(r"[A-Za-z0-9@+=:,./_-]+", text))


@given(TEXT)
def test_a_value_is_read_back_or_refused(text: str) -> None:
    try:
        value = systemd_value(text)
    except ValueError:
        assert text != text.strip(" ") or not text or text.endswith("\\") or re.search(r"[\x00-\x1f\x7f]", text)
    else:
        # Lines end at newlines, lose the space around them, and go on after a backslash.
        assert "\n" not in value
        assert value.strip(" \t\r") == value
        assert not value.endswith("\\")
        assert value.replace("%%", "%") == text


@pytest.mark.parametrize("text", ["a\0b", "caf\udce9"])
def test_what_cannot_be_written_is_refused(text: str) -> None:
    for quoted in (systemd_word, systemd_value):
        with pytest.raises(ValueError, match="no UTF-8"):
            quoted(text)


@settings(max_examples=30)
@given(st.one_of(TEXT, st.text("$`\\\"'{}! \n")), st.one_of(TEXT, st.text("$`\\\"'{}! \n", min_size=1)))
def test_a_shell_gives_the_value_or_ends_with_the_message(message: str, value: str) -> None:
    for shell in ("sh", "bash"):
        script = f"printf %s {shell_reference('A_KEY', message)}; echo not reached"
        told = subprocess.run([shell, "-c", script], env={}, capture_output=True, check=False)
        assert told.returncode != 0
        assert told.stdout == b""
        shown = re.sub(r"[\\\"'`$!{}]", "?", message)
        assert told.stderr.endswith(f"A_KEY: {shown}\n".encode()) or not message.isprintable() or not message
        script = f"printf %s {shell_reference('A_KEY', message)}"
        given = subprocess.run([shell, "-c", script], env={"A_KEY": value}, capture_output=True, check=False)
        assert given.stdout == value.encode() or not value


@pytest.mark.parametrize(("name", "known"), [("A", "A"), ("a.b-c", "a_b_c"), ("1st", "_1st"), ("clé", "cl_")])
def test_a_name_that_no_shell_takes_is_referred_to_by_one_that_it_takes(name: str, known: str) -> None:
    assert shell_reference(name, "x") == f'"${{{known}:?x}}"'
