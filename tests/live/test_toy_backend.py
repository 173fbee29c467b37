"""A backend and an exporter that live in another distribution: found, explained, held to what they declare."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.errors import Exit
from launcher.testing import checks_for
from launcher.testing.kit import Check
from launcher.testing.serving import clean_environment

pytestmark = pytest.mark.live

TOY = Path(__file__).parents[1] / "toy_backend"


def install(source: Path, target: Path) -> None:
    """Build and install a distribution, with nothing from a network."""
    words = ["pip", "install", "--no-index", "--no-build-isolation", "--no-deps", "--no-compile", "--quiet"]
    words += ["--disable-pip-version-check", "--target", str(target), str(source)]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory with the toy."""
    directory = tmp_path_factory.mktemp("toy")
    source = shutil.copytree(TOY, directory / "source", ignore=shutil.ignore_patterns("__pycache__"))
    install(source, directory / "installed")
    return directory / "installed"


@pytest.fixture
def toy(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the toy installed, for this process and for those that it starts."""
    monkeypatch.syspath_prepend(installed)
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "serve_toy"]:
        del sys.modules[name]


def serve(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-m", "launcher", *words],
        cwd=cwd,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("check", checks_for("toy"), ids=str)
@pytest.mark.usefixtures("toy")
def test_toy_keeps_its_word(check: Check, tmp_path: Path) -> None:
    check(tmp_path)


@pytest.mark.usefixtures("toy")
def test_stranger_runs_the_kit_with_pytest_alone(tmp_path: Path) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-k", "threads or bind-unix"]
    done = subprocess.run(
        [sys.executable, *words, str(TOY / "conformance.py")],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.usefixtures("toy")
def test_toy_is_listed(tmp_path: Path) -> None:
    done = serve("servers", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("toy")]
    assert lines, done.stdout
    assert "0.1.0" in lines[0]


@pytest.mark.usefixtures("toy")
def test_toy_is_explained(tmp_path: Path) -> None:
    words = ("--server", "toy", "--bind", "127.0.0.1:8123", "--backlog", "17", "launcher.testing.application:app")
    done = serve("explain", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "-P -m serve_toy" in done.stdout
    assert "--bind 127.0.0.1:8123" in done.stdout
    assert "--backlog 17" in done.stdout


@pytest.mark.usefixtures("toy")
def test_toy_exporter_works_like_a_built_in_one(tmp_path: Path) -> None:
    words = ("export", "procfile", "--server", "toy", "--bind", "127.0.0.1:8123", "launcher.testing.application:app")
    line = "site: serve --profile=dev --server=toy --bind=127.0.0.1:8123 launcher.testing.application:app\n"
    wanted = f"# For profile dev of {tmp_path}\n{line}"
    done = serve(*words, "--with", "process=site", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, wanted), done.stderr
    done = serve(*words, "--with", "proces=site", cwd=tmp_path)
    assert done.returncode == Exit.USAGE
    assert "takes no 'proces'. Did you mean 'process'?" in done.stderr
    done = serve(*words, "--check", "--with", "process=site", cwd=tmp_path)
    assert (done.returncode, f"+{line}" in done.stdout) == (Exit.FINDINGS, True), done.stderr
    (tmp_path / "Procfile").write_text(wanted)
    done = serve(*words, "--check", "--with", "process=site", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert serve("export", "procfil", cwd=tmp_path).stderr.startswith("serve: there is no exporter 'procfil'.")


def test_server_of_no_installed_distribution_is_unknown(tmp_path: Path) -> None:
    done = serve("--server", "toy", "launcher.testing.application:app", cwd=tmp_path)
    assert done.returncode == Exit.SERVER, done.stderr
    assert "'toy'" in done.stderr


@pytest.mark.usefixtures("toy")
def test_two_distributions_with_one_name_are_both_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = tmp_path / "twin"
    package = twin / "serve_twin"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("BACKEND = None\n")
    text = (TOY / "pyproject.toml").read_text()
    text = text.replace("serve-toy", "serve-twin").replace("serve_toy.backend", "serve_twin")
    (twin / "pyproject.toml").write_text(text.replace("serve_toy", "serve_twin"))
    install(twin, tmp_path / "installed")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'installed'}{os.pathsep}{os.environ['PYTHONPATH']}")
    done = serve("--server", "toy", "launcher.testing.application:app", cwd=tmp_path)
    assert done.returncode == Exit.SERVER, done.stdout + done.stderr
    for name in ("serve_twin", "serve_toy"):
        assert name in done.stderr
