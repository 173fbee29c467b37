import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import PYTHON, SCRIPT, Lab, build_site


@pytest.fixture(scope="session")
def booted() -> Iterator[Lab]:
    """Boot a systemd for the session; skip where the machine lets nobody do that."""
    process = subprocess.Popen(
        ["bash", str(SCRIPT), "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said = process.stdout.readline().split()
    if said[:1] != ["READY"]:
        reason = process.stderr.read().strip()
        if process.wait() == 77:
            pytest.skip(f"no systemd can be booted here: {reason}")
        pytest.fail(reason)
    yield Lab(int(said[1]))
    process.stdin.close()
    assert process.wait() == 0, process.stderr.read()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the example project and its environment, made once however many processes test."""
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON}")
    version = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True, text=True
    )
    if version.stdout.strip() != "True":
        pytest.skip(f"{PYTHON} is too old")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    directory = shared / "polls"
    with (shared / "polls.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "site" / "db.sqlite3").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            build_site(directory)
    return directory


@pytest.fixture(scope="session")
def lab(booted: Lab, site: Path) -> Lab:
    """Return the systemd with the project at /opt/polls: its environment in venv, its files in site."""
    shutil.copytree(site, booted.path("/opt/polls"), symlinks=True, ignore=shutil.ignore_patterns("wheels"))
    booted.run("chmod", "-R", "go+rX", "/opt/polls")
    secret = booted.path("/etc/polls.env")
    secret.touch(0o600)
    secret.write_text(f"DJANGO_SECRET_KEY={'a-long-secret-of-the-tests-' * 3}\n")
    return booted
