"""Every command of the examples' READMEs, typed as it stands, in a shell of its own.

Servers are started in a private network namespace, so that the addresses of the READMEs are free.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 120
NAMESPACE = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
OTHERS = ("explain", "check", "export", "servers", "profiles")

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]


def blocks(readme: Path) -> list[list[str]]:
    """Return the commands of each console block."""
    found = re.findall(r"^```console\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)
    return [[line[2:] for line in block.splitlines() if line.startswith("$ ")] for block in found]


def is_start(command: str) -> bool:
    words = command.split()
    return words[0] == "serve" and (len(words) < 2 or words[1] not in OTHERS)


class Shell:
    """One bash that is fed line by line; its server, if it runs one, is in the background."""

    def __init__(self, prefix: list[str], cwd: Path, environ: dict[str, str], log: Path) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [*prefix, "bash"], cwd=cwd, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=log.open("a"), text=True, start_new_session=True,
        )  # fmt: skip

    def type(self, command: str) -> str:
        """Run one command to its end; return what it printed. It must succeed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\necho; echo end-of-command $?\n")
        self.process.stdin.flush()
        output = ""
        for line in self.process.stdout:
            if line.startswith("end-of-command "):
                assert line.split()[1] == "0", f"{command}\n{output}\n{self.log.read_text()}"
                return output
            output += line
        raise AssertionError(f"the shell ended at: {command}\n{output}\n{self.log.read_text()}")

    def start(self, command: str) -> None:
        """Start a server in the background and wait until it answers."""
        bind = re.search(r"--bind \S+:(\d+)", command)
        port = bind[1] if bind else "8000"
        self.type(f"set -m; {command} >&2 & server=$!; set +m")
        curl = (
            f"curl --silent --output /dev/null --retry 60 --retry-connrefused --retry-delay 1 http://127.0.0.1:{port}/"
        )
        self.type(f"{curl} && kill -0 $server")

    def stop(self) -> None:
        """Stop the server as Ctrl-C does."""
        self.type("kill -INT $server; wait $server")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
    return out


def in_namespace() -> list[str]:
    done = subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False) if shutil.which("unshare") else None
    if done is not None and done.returncode == 0:
        return NAMESPACE
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8000))
        except OSError:
            pytest.skip("port 8000 is taken, and this machine gives no network namespace")
    return []


@pytest.mark.skipif(not shutil.which("curl"), reason="the READMEs use curl")
@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("django_polls", ["mysite.settings.dev", "mysite.settings.prod"]),
        ("flask_app", ["Development", "Production"]),
        ("bare_wsgi", ["Hello, world!"]),
    ],
)
def test_readme(name: str, answers: list[str], wheels: Path, tmp_path: Path) -> None:
    project = tmp_path / name
    shutil.copytree(
        ROOT / "examples" / name,
        project,
        ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__", ".venv", "staticfiles"),
    )
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("SERVE_", "DJANGO_", "PYTHON"))}
    # The package of this checkout stands in for the published one.
    environ["PIP_FIND_LINKS"] = f"{wheels} {environ.get('PIP_FIND_LINKS', '')}".strip()
    environ["PATH"] = f"{Path(sys.executable).resolve().parent}{os.pathsep}{environ['PATH']}"
    setup, *rest = blocks(project / "README.md")
    shell = Shell([], project, environ, tmp_path / "setup.log")
    try:
        for command in setup:
            shell.type(command)
    finally:
        shell.close()
    shell = Shell(in_namespace(), project, environ, tmp_path / "log")
    running, printed = False, ""
    began = time.monotonic()
    try:
        shell.type(". .venv/bin/activate")
        for command in (command for block in rest for command in block):
            if is_start(command):
                if running:
                    shell.stop()
                shell.start(command)
                running = True
            else:
                printed += shell.type(command)
        if running:
            shell.stop()
    finally:
        shell.close()
    assert time.monotonic() - began < 4 * DEADLINE_S
    places = [printed.find(answer) for answer in answers]
    assert -1 not in places, printed
    assert places == sorted(places)
