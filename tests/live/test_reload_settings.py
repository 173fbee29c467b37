"""Settings are never imported in the process that becomes the master: its own reload serves new values."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

POLLS = Path(__file__).resolve().parents[2] / "examples" / "django_polls"
DEADLINE_S = 60

pytestmark = pytest.mark.live


@contextmanager
def served(project: Path, *argv: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SERVE_", "DJANGO_"))}
    # Two saves within a second must not be told apart by the bytecode cache, which compares whole seconds.
    environ |= {"DJANGO_SECRET_KEY": "x" * 50, "PYTHONDONTWRITEBYTECODE": "1"}
    log = (project / "server.log").open("w+")
    with subprocess.Popen(
        [sys.executable, "-m", "launcher", *argv, "--bind", "127.0.0.1:0"],
        cwd=project, env=environ, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as child:  # fmt: skip
        try:
            yield child, port_of(project / "server.log", child)
            child.terminate()
            assert child.wait(DEADLINE_S) == 0, log.seek(0) or log.read()
        except BaseException:
            print((project / "server.log").read_text())
            raise
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            log.close()


def save(path: Path, text: str) -> None:
    """Put a file into its place all at once: a worker that starts at that moment reads the old text or the new."""
    whole = path.with_suffix(".new")
    whole.write_text(text)
    whole.replace(path)


def port_of(log: Path, child: "subprocess.Popen[str]") -> int:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end and child.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("serve: profile") and "http://" in line:
                return int(line.rpartition(":")[2])
        time.sleep(0.01)
    raise AssertionError(log.read_text())


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def eventually(port: int, path: str, wanted: str) -> None:
    end = time.monotonic() + DEADLINE_S
    status, body = get(port, path)
    while wanted not in body:
        assert time.monotonic() < end, (status, body)
        time.sleep(0.02)
        status, body = get(port, path)


@pytest.mark.parametrize("server", ["gunicorn", "uwsgi"])
@pytest.mark.parametrize("found", ["statically", "in a child"])
def test_the_servers_own_reload_serves_an_edited_setting(server: str, found: str, tmp_path: Path) -> None:
    project = tmp_path / "polls"
    shutil.copytree(POLLS, project, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__"))
    settings = project / "mysite/settings/prod.py"
    text = settings.read_text()
    if found == "in a child":
        text += '\nglobals()["WSGI_APPLICATION"] = "mysite.wsgi.application"\n'
    settings.write_text(text + '\nDEFAULT_FROM_EMAIL = "first@example.com"\n')
    urls = project / "mysite/urls.py"
    urls.write_text(
        urls.read_text()
        + "\nfrom django.conf import settings\nfrom django.http import HttpResponse\n"
        + 'urlpatterns += [path("mail/", lambda request: HttpResponse(settings.DEFAULT_FROM_EMAIL))]\n'
    )
    with served(project, "--profile", "prod", "--server", server) as (child, port):
        eventually(port, "/mail/", "first@example.com")
        save(settings, text + '\nDEFAULT_FROM_EMAIL = "second@example.com"\n')
        os.kill(child.pid, signal.SIGHUP)
        eventually(port, "/mail/", "second@example.com")
        assert "mysite.settings.prod" in get(port, "/whoami/")[1]


@pytest.mark.parametrize("server", ["gunicorn", "uwsgi"])
def test_nothing_of_ours_stays_resident_and_the_pid_is_kept(server: str, tmp_path: Path) -> None:
    project = tmp_path / "polls"
    shutil.copytree(POLLS, project, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__"))
    with served(project, "--profile", "prod", "--server", server) as (child, port):
        eventually(port, "/whoami/", "mysite.settings.prod")
        command = Path(f"/proc/{child.pid}/cmdline").read_text()
        # gunicorn sets a title of its own where setproctitle is installed.
        assert command.startswith("gunicorn: master") if server == "gunicorn" else "launcher.runners.uwsgi" in command
        maps = Path(f"/proc/{child.pid}/maps").read_text()
        assert "msgspec" not in maps


@pytest.mark.parametrize("server", ["gunicorn", "uwsgi", "waitress"])
def test_a_wsgi_module_that_assigns_its_settings_is_refused(server: str, tmp_path: Path) -> None:
    project = tmp_path / "polls"
    shutil.copytree(POLLS, project, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__"))
    wsgi = project / "mysite/wsgi.py"
    assigning = wsgi.read_text().replace(
        'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings.dev")',
        'os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings.dev"',
    )
    assert assigning != wsgi.read_text()
    wsgi.write_text(assigning)
    done = subprocess.run(
        [sys.executable, "-m", "launcher", "--profile", "prod", "--server", server, "--bind", "127.0.0.1:0"],
        cwd=project, env={**os.environ, "DJANGO_SECRET_KEY": "x" * 50}, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 4, said
    assert "mysite.settings.dev" in said
    assert "mysite.settings.prod" in said
    assert "mysite/wsgi.py" in said
