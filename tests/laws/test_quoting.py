"""What is quoted for a systemd unit is read back as it was. The reader here is written from systemd.syntax(7) and
systemd.service(5), systemd 252; `tests/systemd` asks systemd itself."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.quoting import systemd_value, systemd_word

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
