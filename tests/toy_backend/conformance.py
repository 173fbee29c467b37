"""The whole of a stranger's test: does the backend do what its rules declare?"""

from pathlib import Path

import pytest

from launcher.testing import checks_for
from launcher.testing.kit import Check


@pytest.mark.parametrize("check", checks_for("toy"), ids=str)
def test_conformance(check: Check, tmp_path: Path) -> None:
    check(tmp_path)
