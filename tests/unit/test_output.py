"""Output that cannot be written is told in one line."""

import subprocess
import sys

import pytest

from launcher.errors import Exit


@pytest.mark.parametrize("words", [("profiles",), ("--help",), ("servers", "--options")])
def test_a_full_disk_is_told(words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "launcher", *words], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.stderr == "serve: the output cannot be written: No space left on device\n"
    assert done.returncode == Exit.USAGE
