"""The wheel serves with the source tree out of reach."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.machine import write_tree

ROOT = Path(__file__).resolve().parents[2]
APP = 'def application(environ, start_response):\n    start_response("200 OK", [])\n    return [b"hello"]\n'

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_package_and_its_profiles_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"launcher/_profiles/{name}.toml" for name in ("dev", "prod", "container")} <= names
    assert {"launcher/py.typed", "launcher/develop/live.js"} <= names
    assert {name.split("/")[0] for name in names} == {
        "launcher",
        next(n for n in names if "dist-info" in n).split("/")[0],
    }


def test_an_installed_wheel_serves(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=120)
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"{wheel}[all]"], check=True, timeout=300)
    project = write_tree(
        tmp_path / "project", {"app.py": APP, "profiles/staging.toml": 'extends = "prod"\nthreads = 3\n'}
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SERVE_"))}

    def serve(*argv: str, command: str = "serve") -> str:
        done = subprocess.run(
            [str(venv / "bin" / command), *argv],
            cwd=project, env=environ, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return done.stdout

    assert "container" in serve("profiles")
    assert "27." in serve("servers") or "gunicorn" in serve("servers", command="wsgi-serve")
    for server in ("gunicorn", "uwsgi", "waitress", "wsgiref"):
        explained = serve("explain", "app:application", "--profile", "staging", "--server", server, "--format", "json")
        assert str(ROOT) not in explained
        assert first_answer(venv, project, environ, server) == b"hello"


def first_answer(venv: Path, project: Path, environ: dict[str, str], server: str) -> bytes:
    import http.client

    command = [str(venv / "bin/serve"), "app:application", "--profile", "staging", "--server", server]
    with subprocess.Popen(
        [*command, "--bind", "127.0.0.1:0"],
        cwd=project,
        env=environ,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as child:
        try:
            assert child.stderr is not None
            line = child.stderr.readline()
            port = int(line.rpartition(":")[2])
            # The socket listens since before the start line: the answer comes once the application is loaded.
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/")
            body = connection.getresponse().read()
            connection.close()
            return body
        finally:
            child.terminate()
            child.communicate(timeout=60)
