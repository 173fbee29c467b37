"""`manage.py serve` is `serve`, and what manage.py sets is not taken for a person's word."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

POLLS = Path(__file__).resolve().parents[2] / "examples" / "django_polls"

pytestmark = pytest.mark.live


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy = tmp_path / "polls"
    shutil.copytree(POLLS, copy, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__"))
    base = copy / "mysite/settings/base.py"
    base.write_text(base.read_text() + '\nINSTALLED_APPS = [*INSTALLED_APPS, "launcher"]\n')
    return copy


def manage(project: Path, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SERVE_", "DJANGO_"))}
    return subprocess.run(
        [sys.executable, "manage.py", "serve", *argv],
        cwd=project, env={**clean, **environ}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_profile_picks_the_settings_though_manage_py_names_others(project: Path) -> None:
    done = manage(project, "--profile", "prod", "--server", "waitress", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "DJANGO_SETTINGS_MODULE=mysite.settings.prod" in done.stdout


def test_a_variable_that_a_person_set_still_counts(project: Path) -> None:
    done = manage(project, "--profile", "prod", "--dry-run", DJANGO_SETTINGS_MODULE="mysite.settings.dev")
    assert done.returncode == 4
    assert "development settings in production" in done.stderr


def test_commands_work_too(project: Path) -> None:
    done = manage(project, "explain", "settings", "env.POLLS_BANNER", "mysite.wsgi:application")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('settings = "mysite.settings.dev"')
    assert 'env.POLLS_BANNER = "Development"\n  from      profiles/dev.toml:4' in done.stdout


def test_help_is_ours(project: Path) -> None:
    done = manage(project, "--help")
    assert done.returncode == 0
    assert "--max-body-size" in done.stdout
