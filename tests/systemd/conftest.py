import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import PYTHON, Lab, NoLab, boot, build_site, install_site


@pytest.fixture(scope="session")
def booted() -> Iterator[Lab]:
    """Boot a systemd for the session; skip where the machine lets nobody do that."""
    try:
        with boot() as lab:
            yield lab
    except NoLab as reason:
        pytest.skip(f"no systemd can be booted here: {reason}")


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
    install_site(booted, site)
    return booted
