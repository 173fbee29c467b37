"""launcher.develop.checks: what Django has to say of a site, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.testing.serving import clean_environment
from tests.machine import write_tree

pytestmark = pytest.mark.live

SETTINGS = """
SECRET_KEY = "for tests"
ROOT_URLCONF = "site_urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""
WSGI = """
import sys
from django.core.wsgi import get_wsgi_application
sys.path.append("parts")
application = get_wsgi_application()
"""
SITE = {
    "site_wsgi.py": WSGI,
    "site_settings.py": SETTINGS,
    "site_urls.py": "urlpatterns = []\n",
    "shop/__init__.py": "print('imported')\nimport sys, warnings\nwarnings.warn('old', DeprecationWarning)\n",
    "shop/models.py": "",
}
MIGRATED = "INSTALLED_APPS = []\n"
SPEC = {"target": "site_wsgi:application", "settings": "site_settings"}
ONE = "from django.db import models\n\nclass Item(models.Model):\n    name = models.CharField()\n    class Meta:\n        {0}\n"


def checks(root: Path, *argv: str, settings: str | None = "site_settings", **environ: str) -> str:
    spec = json.dumps({**SPEC, "path": [str(root)], "settings": settings, "development_warnings": True})
    done = subprocess.run(
        [sys.executable, "-P", "-m", "launcher.develop.checks", *argv],
        cwd=root,
        env={**clean_environment(), "LAUNCHER_APPLICATION": spec, **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == ""
    return done.stderr


def site(root: Path, **files: str) -> Path:
    return write_tree(root, {**SITE, **{f"{name.replace('__', '/')}.py": text for name, text in files.items()}})


def test_a_site_without_faults_has_nothing_to_tell(tmp_path: Path) -> None:
    assert checks(site(tmp_path, site_settings=SETTINGS + MIGRATED)) == ""


def test_unapplied_migrations_are_told(tmp_path: Path) -> None:
    assert checks(site(tmp_path)) == (
        "You have 2 unapplied migration(s). Your project may not work properly until you apply the migrations "
        "for app(s): contenttypes.\nRun 'python manage.py migrate' to apply them.\n"
    )


def test_warnings_and_errors_are_told(tmp_path: Path) -> None:
    doubtful = "    other = models.ForeignKey('self', models.CASCADE, unique=True)\n"
    said = checks(site(tmp_path, shop__models=ONE.format("ordering = ['nothing']") + doubtful))
    assert "SystemCheckError: System check identified some issues:\nERRORS:\nshop.Item: (models.E015)" in said
    assert "WARNINGS:\nshop.Item.other: (fields.W342)" in said
    assert "unapplied" in said


def test_what_the_target_sets_up_is_there(tmp_path: Path) -> None:
    settings = SETTINGS.replace('"shop"', '"shop", "part"')
    assert "unapplied" in checks(site(tmp_path, site_settings=settings, parts__part=""))


def test_a_database_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    said = checks(site(tmp_path, site_settings=SETTINGS.replace("db.sqlite3", "no/such/db")))
    assert said == "The database does not tell which migrations are applied: unable to open database file\n"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"site_urls": "import nothing_of_the_kind\n"},
            "the system checks cannot be run: it needs the module nothing_",
        ),
        (
            {"site_settings": "1 / 0\n"},
            "site_wsgi cannot be imported: ZeroDivisionError: division by zero (site_settings.py",
        ),
        ({"shop__models": "raise SystemExit(3)\n"}, "site_wsgi cannot be imported: the code called sys.exit(3)"),
        (
            {"shop__models": "1 / 0\n", "site_wsgi": "def application(environ, start_response): ...\n"},
            "Django cannot be set up: ZeroDivisionError: division by zero (shop/models.py",
        ),
    ],
)
def test_what_cannot_be_imported_is_one_line(tmp_path: Path, files: dict[str, str], words: str) -> None:
    said = checks(site(tmp_path, **files))
    assert said.startswith(words)
    assert said.count("\n") == 1


@pytest.mark.parametrize("settings", [None, "plain"])
def test_no_django_site_has_nothing_to_tell(tmp_path: Path, settings: str | None) -> None:
    application = "def application(environ, start_response): ...\n"
    write_tree(tmp_path, {"plain.py": 'WSGI_APPLICATION = "x.y"\n', "site_wsgi.py": application})
    assert checks(tmp_path, settings=settings) == ""


def test_many_faults_are_cut_short(tmp_path: Path) -> None:
    models = "from django.db import models\n" + "".join(
        f"class Item{number}(models.Model):\n    class Meta: ordering = ['nothing']\n" for number in range(40)
    )
    said = checks(site(tmp_path, shop__models=models)).splitlines()
    assert len(said) == 21
    assert said[-1] == "... and 24 lines more: python manage.py check"


def test_the_same_is_not_said_twice(tmp_path: Path) -> None:
    digest = str(tmp_path / "digest")
    site(tmp_path)
    first = checks(tmp_path, digest)
    assert "unapplied" in first
    assert checks(tmp_path, digest) == ""
    site(tmp_path, site_settings=SETTINGS + MIGRATED)
    assert checks(tmp_path, digest) == ""
    site(tmp_path)
    assert checks(tmp_path, digest) == first


def test_a_thread_of_the_site_does_not_keep_it(tmp_path: Path) -> None:
    thread = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    assert "unapplied" in checks(site(tmp_path, shop__models=thread))


def test_a_terminal_has_colours(tmp_path: Path) -> None:
    site(tmp_path)
    spec = json.dumps({**SPEC, "path": [str(tmp_path)]})
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "launcher.develop.checks"],
        cwd=tmp_path, env={**clean_environment(), "LAUNCHER_APPLICATION": spec}, stderr=theirs,
    ) as process:  # fmt: skip
        assert process.wait(60) == 0
    said = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert "\x1b[" in said
