"""What a start imports before exec: nothing that costs more than it brings (docs/decisions/0002-import-budget.md)."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine import DJANGO, SERVERS, write_tree

DEAR = {
    "ast", "asyncio", "click", "collections", "configparser", "contextlib", "dataclasses", "difflib", "django",
    "email", "enum", "functools", "importlib", "importlib.metadata", "inspect", "ipaddress", "jinja2", "json",
    "logging", "msgspec", "multiprocessing", "pathlib", "re", "rich", "shlex", "shutil", "socket", "ssl",
    "subprocess", "tempfile", "threading", "tomllib", "typing", "urllib.parse", "zipfile",
}  # fmt: skip

START = """
import os, sys
import launcher.commands.run as command

def stop(*words):
    print(*sorted(sys.modules), sep="\\n", flush=True)
    os._exit(0)

command.os.execve = stop
from launcher.__main__ import main
main(["--profile", "prod", "--server", sys.argv[1], "--bind", "127.0.0.1:0"])
"""


def loaded_by_a_start(server: str, project: Path, before: str = "") -> set[str]:
    """Return the modules that are imported before exec, without what site customisation, coverage and the like bring."""
    code = f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r}\n{before}{START}"
    command = [sys.executable, "-I", "-S", "-c", code, server]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "launcher.plan" in loaded
    return loaded


@pytest.mark.parametrize("server", SERVERS)
def test_a_start_imports_nothing_dear(server: str, tmp_path: Path) -> None:
    write_tree(tmp_path, DJANGO)
    assert not loaded_by_a_start(server, tmp_path) & DEAR


def test_a_second_start_reads_no_source(tmp_path: Path) -> None:
    write_tree(tmp_path, DJANGO)
    aged = "import launcher.kept_answers as kept; kept.TICK_NS = -(10**15)\n"
    assert "_ast" in loaded_by_a_start("gunicorn", tmp_path, aged)
    assert not loaded_by_a_start("gunicorn", tmp_path, aged) & {"_ast", "launcher.syntax", "launcher.source"}
