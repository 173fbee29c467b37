"""A systemd of the tests' own, and the example project installed in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("lab.sh")
DEADLINE_S = 120
PYTHON = Path("/usr/bin/python3")
"""Not the tests' own, which may lie in a home that services cannot read."""


class NoLab(Exception):
    """This machine lets nobody boot a systemd: why."""


@contextmanager
def boot() -> Iterator["Lab"]:
    """Boot a systemd, and end it. Raises NoLab."""
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
            raise NoLab(reason)
        raise AssertionError(reason)
    try:
        yield Lab(int(said[1]))
    finally:
        process.stdin.close()
        status = process.wait()
    assert status == 0, process.stderr.read()


class Lab:
    """One systemd, seen from outside."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def path(self, inside: str) -> Path:
        """Return where the tests find a file of the lab."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def run(self, *words: str, cwd: str = "/", status: int | None = 0) -> str:
        """Run a command inside to its end, and return what it printed. It must end with `status`, if one is given."""
        done = subprocess.run(
            ["bash", str(SCRIPT), "enter", str(self.pid), "env", "-C", cwd, *words],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert status is None or done.returncode == status, f"{words}\n{done.stdout}{done.stderr}{self.journal()}"
        return done.stdout

    def systemctl(self, *words: str, status: int | None = 0) -> str:
        return self.run("systemctl", *words, status=status).strip()

    def journal(self) -> str:
        """Return the last that was said inside."""
        where = str(self.path("/run/log/journal"))
        words = ["journalctl", "--no-pager", "--lines=60", "--output=short-monotonic", "--directory", where]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout

    def shown(self, unit: str, *properties: str) -> Mapping[str, str]:
        """Return properties of a unit."""
        text = self.systemctl("show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in text.splitlines())

    def children(self, pid: int) -> list[int]:
        """Return the processes that a process of the lab has made, by their numbers in the lab."""
        return [int(word) for word in self.run("cat", f"/proc/{pid}/task/{pid}/children").split()]


def build_site(directory: Path) -> None:
    """Make an environment with launcher, the servers and Django; the example project with a database beside it."""
    environment, wheels, site = directory / "venv", directory / "wheels", directory / "site"
    python = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT))
    _run(str(PYTHON), "-m", "venv", "--without-pip", str(environment))
    (wheel,) = wheels.iterdir()
    _run(*pip, "--python", python, "install", f"{wheel}[all]", "django>=5.2")
    shutil.copytree(
        ROOT / "examples" / "django_polls", site, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__", ".venv")
    )
    _run(python, str(site / "manage.py"), "migrate", "--settings=mysite.settings.prod", DJANGO_SECRET_KEY="x" * 50)


def install_site(lab: Lab, directory: Path) -> None:
    """Put what build_site made into a lab, at /opt/polls: its environment in venv, its files in site."""
    shutil.copytree(directory, lab.path("/opt/polls"), symlinks=True, ignore=shutil.ignore_patterns("wheels"))
    lab.run("chmod", "-R", "go+rX", "/opt/polls")
    secret = lab.path("/etc/polls.env")
    secret.touch(0o600)
    secret.write_text(f"DJANGO_SECRET_KEY={'a-long-secret-of-the-tests-' * 3}\n")


def _run(*words: str, **variables: str) -> None:
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, **variables}, timeout=4 * DEADLINE_S, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
