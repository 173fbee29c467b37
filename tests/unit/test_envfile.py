"""launcher.envfile: what a value is, and what a comment."""

from pathlib import Path

import pytest

from launcher.envfile import read_env_file
from launcher.origin import DEFAULT


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=one # a comment", "one"),
        ("A=one\t# a comment", "one"),
        ("A= # a comment", ""),
        ("A=#no-comment", "#no-comment"),
        ("A=one#two", "one#two"),
        ('A="one # two" # a comment', "one # two"),
        ("A = 'one' # a comment", "one"),
        ("A=one\x0ctwo\u2028three", "one\x0ctwo\u2028three"),
        ("A=\r", ""),
    ],
)
def test_a_value_ends_where_a_comment_begins(line: str, value: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(f"{line}\n", newline="")
    (read,), findings = read_env_file(str(file), "env", DEFAULT)
    assert (read[0], read[1].value, findings) == ("A", value, [])
