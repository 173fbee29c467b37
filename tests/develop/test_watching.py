"""What the loop notices: what a project gets for the first time, new directories, and files of which nobody tells."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.testing.serving import Serving, wait_for
from tests.develop.site import APP, Site

pytestmark = pytest.mark.live

DJANGO = {
    "conf.py": """
from pathlib import Path

SECRET_KEY = "of the tests"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["shop"]
BESIDE = Path(__file__).parent.parent / "web" / "pages"
TEMPLATES = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "DIRS": ["pages", BESIDE]}
]
""",
    "urls.py": """
from django.http import HttpResponse
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string
from django.urls import path


def show(request):
    try:
        return HttpResponse(render_to_string("page.html"))
    except TemplateDoesNotExist:
        return HttpResponse("none")


urlpatterns = [path("", show)]
""",
    "shop/__init__.py": "",
}


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("directory", ["shop/templates", "pages", "../web/pages"])
def test_the_first_templates(directory: str, warm: bool, tmp_path: Path) -> None:
    root = tmp_path / "site"
    with Site(root, files=DJANGO, app=None, settings="conf") as site:
        site.shows("none")
        if warm:
            site.knows_itself("shop/__init__.py")
        (root / directory).mkdir(parents=True)
        for text in ("one", "two"):
            site.save(text, f"{directory}/page.html")
            site.shows(text)


@pytest.mark.parametrize(("name", "head"), [("profiles/dev.toml", ""), ("pyproject.toml", "[tool.serve]\n")])
def test_the_first_profile(name: str, head: str, tmp_path: Path) -> None:
    app = APP.replace("from shop import basket", "import os").replace("basket.VERSION", "os.environ.get('COLOUR')")
    environ = {"SERVE_APP": "app:app", "SERVE_BIND": "127.0.0.1:0", "XDG_RUNTIME_DIR": str(tmp_path)}
    serving = Serving(tmp_path, {}, name="dev", files={"app.py": app}, environ=environ)
    shutil.rmtree(tmp_path / "profiles")
    with serving:
        assert serving.request("/").body == b"None"
        profile = tmp_path / name
        profile.parent.mkdir(exist_ok=True)
        for colour in ("red", "blue"):
            profile.write_text(f'{head}env = {{ COLOUR = "{colour}" }}\n')
            wait_for(lambda colour=colour: serving.request("/").body.decode() == colour, colour)  # type: ignore[misc]


def test_another_directory_in_the_place_of_one(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    with Site(root) as site:
        other = tmp_path / "other"
        shutil.copytree(root / "shop", other)
        (other / "basket.py").write_text("VERSION = 1\n")
        (root / "shop").rename(tmp_path / "old")
        other.rename(root / "shop")
        site.shows("1")
        site.release(2)
        site.shows("2")


def test_modules_that_come_with_several_directories(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.save("from shop.a.b.c import VERSION\n")
        site.broken()
        (tmp_path / "shop" / "a" / "b").mkdir(parents=True)
        (tmp_path / "shop" / "a" / "b" / "c.py").write_text("VERSION = 'deep'\n")
        site.shows("deep")


@pytest.fixture
def told_nothing(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Return a directory, and where it is mounted: nobody there is told of what is written to the former."""
    if shutil.which("bindfs") is None or os.geteuid() != 0:
        pytest.skip("it takes bindfs, and root")
    real, mounted = tmp_path / "real", tmp_path / "mounted"
    real.mkdir()
    mounted.mkdir()
    done = subprocess.run(["bindfs", real, mounted], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    yield real, mounted
    subprocess.run(["umount", mounted], check=True)


def test_a_file_system_that_reports_no_changes(told_nothing: tuple[Path, Path]) -> None:
    real, mounted = told_nothing
    with Site(mounted) as site:
        wait_for(lambda: "twice a second: fuse reports no changes" in site.output, "the line")
        for version in ("1", "2"):
            fresh = real / "fresh"
            fresh.write_text(f"VERSION = {version}\n")
            fresh.replace(real / "shop" / "basket.py")
            site.shows(version)
