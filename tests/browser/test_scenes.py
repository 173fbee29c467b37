"""What a developer sees of the example site in a real browser, while `serve` follows the files."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.testing.serving import Serving, clean_environment, wait_for
from tests.browser.tab import Tab
from tests.machine import SERVERS

pytestmark = pytest.mark.live

POLLS = Path(__file__).resolve().parents[2] / "examples" / "django_polls"
PASSWORD = "a-long-one-for-tests"

Serve = Callable[..., Serving]


@pytest.fixture
def polls(tmp_path: Path) -> Path:
    """A copy of the example, with a fresh database."""
    pytest.importorskip("django")
    project = tmp_path / "polls"
    shutil.copytree(POLLS, project, ignore=shutil.ignore_patterns("db.sqlite3", "staticfiles", "__pycache__"))
    environ = {**clean_environment(), "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    editor = ["createsuperuser", "--noinput", "--username", "editor", "--email", "editor@localhost"]
    for words in (["migrate", "--verbosity", "0"], editor):
        subprocess.run([sys.executable, "manage.py", *words], cwd=project, env=environ, check=True, timeout=60)
    return project


@pytest.fixture
def serve(polls: Path) -> Serve:
    """Return what serves the copy with the shipped profile `dev`, and options besides."""

    def make(**options: Any) -> Serving:
        profile = {"settings": "mysite.settings.dev", "bind": ["127.0.0.1:0"], **options}
        return Serving(polls, profile, name="dev")

    return make


def edit(file: Path, before: str, after: str) -> None:
    """Save a file as editors do: whole, and at once."""
    text = file.read_text()
    assert before in text
    scratch = file.with_name(f".{file.name}.swp")
    scratch.write_text(text.replace(before, after))
    os.replace(scratch, file)


def test_admin_is_styled_and_votes_count(tab: Tab, serve: Serve) -> None:
    with serve() as serving:
        url = f"http://{serving.address}"
        tab.open(f"{url}/admin/")
        assert tab.style("#header", "background-color") != "rgba(0, 0, 0, 0)"
        tab.find("#id_username").send_keys("editor")
        tab.find("#id_password").send_keys(PASSWORD)
        tab.find("[type=submit]").click()
        tab.wait_for("Site administration")
        tab.open(f"{url}/polls/")
        tab.find(".card").click()
        tab.wait_for("Your answer")
        tab.find("[name=choice]").click()
        tab.find("form [type=submit]").click()
        tab.wait_for("1 vote so far")


@pytest.mark.parametrize("server", SERVERS)
def test_broken_view_is_shown_and_the_mended_page_comes_back(tab: Tab, serve: Serve, polls: Path, server: str) -> None:
    with serve(server=server) as serving:
        url = f"http://{serving.address}/polls/"
        tab.open(url)
        tab.wait_for("What do you think?")
        views = polls / "polls" / "views.py"
        edit(views, "def index(request: HttpRequest)", "def index(request: HttpRequest")

        wait_for(lambda: serving.request("/polls/").status == 500, "the failure")
        tab.open(url)
        tab.wait_for("SyntaxError")
        assert "polls/views.py" in tab.find("h1").text
        assert "def index(request: HttpRequest" in tab.find(".here").text
        tab.mark()
        tab.wait_until_it_listens()
        edit(views, "def index(request: HttpRequest", "def index(request: HttpRequest)")
        tab.wait_for("What do you think?")
        assert not tab.marked
        assert len(re.findall("SyntaxError", serving.output)) < 4, serving.output


@pytest.mark.parametrize("server", SERVERS)
def test_live_page_follows_template_style_and_view(tab: Tab, serve: Serve, polls: Path, server: str) -> None:
    with serve(server=server, live=True) as serving:
        tab.open(f"http://{serving.address}/polls/")
        tab.wait_for("What do you think?")
        tab.wait_until_it_listens()
        edit(polls / "polls/templates/polls/index.html", "What do you think?", "Tell us!")
        tab.wait_for("Tell us!")
        edit(polls / "polls/static/polls/style.css", "--page: #f6f4ee", "--page: #010203")
        tab.until(lambda: tab.style("body", "background-color") == "rgba(1, 2, 3, 1)", "the new colour")
        edit(polls / "polls/views.py", '{"questions": questions}', "{}")
        tab.wait_for("No questions yet")
