"""launcher.develop.own_warnings: which warnings are shown."""

import os
import subprocess
import sys
from pathlib import Path

import launcher
from tests.machine import write_tree

ROOT = str(Path(launcher.__file__).parent.parent)
WARNS = 'import warnings\nwarnings.warn("{0}", DeprecationWarning)\n'
PROJECT = {
    "shop/__init__.py": WARNS.format("package"),
    "shop/views.py": (
        "import warnings, library, logging\n"
        "for _ in range(3):\n"
        '    warnings.warn("pending", PendingDeprecationWarning)\n'
        'library.old()\nopen("/dev/null")\nx = "\\d"\n'
    ),
    "logging_/readme": "no module",
    "library/readme": "only lies here: the import takes the other",
    "lib/python/site-packages/library/__init__.py": (
        "import warnings\n"
        'def old(): warnings.warn("old", DeprecationWarning, stacklevel=2)\n' + WARNS.format("theirs") + 'x = "\\d"\n'
    ),
}
RUN = (
    "import sys\nfrom launcher.develop.own_warnings import show_own_warnings\n"
    "sys.path[:0] = [sys.argv[1], f'{sys.argv[1]}/lib/python/site-packages']\n"
    "show_own_warnings([sys.argv[1]])\nimport shop.views\n"
)


def said(root: Path, **environ: str) -> list[str]:
    """Return what stderr says of each warning, less the line of source."""
    write_tree(root, PROJECT)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, "-P", "-B", "-c", RUN, str(root)],
        env={**clean, "PYTHONPATH": ROOT, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.removeprefix(f"{root}/") for line in done.stderr.splitlines() if line.startswith(f"{root}/")]


def test_only_the_projects_own_are_shown_once_for_a_place(tmp_path: Path) -> None:
    shown = said(tmp_path)
    *ours, escape = sorted(line for line in shown if not line.startswith("lib/"))
    assert [line.partition(" <")[0] for line in ours] == [
        "shop/__init__.py:2: DeprecationWarning: package",
        "shop/views.py:3: PendingDeprecationWarning: pending",
        "shop/views.py:4: DeprecationWarning: old",
        "shop/views.py:5: ResourceWarning: unclosed file",
    ]
    assert escape.startswith("shop/views.py:6: ")
    assert "invalid escape sequence" in escape
    # What Python shows of others all the same: an invalid escape, from 3.12 on.
    assert all("SyntaxWarning" in line for line in shown if line.startswith("lib/"))


def test_filters_that_a_person_gave_python_stand(tmp_path: Path) -> None:
    assert said(tmp_path, PYTHONWARNINGS="ignore") == []
