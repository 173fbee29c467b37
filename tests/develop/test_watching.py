"""What the loop notices: what a project gets for the first time, new directories, and files of which nobody tells."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.develop.channel import Channel
from launcher.develop.files import Interest
from launcher.develop.news import News
from launcher.develop.project import Project
from launcher.testing.serving import Serving, wait_for
from tests.develop.site import APP, Site
from tests.machine import write_tree

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
            wait_for(lambda: serving.request("/").body.decode() == colour, colour)


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


def test_a_project_that_goes_and_comes_again(tmp_path: Path) -> None:
    root, away = tmp_path / "project", tmp_path / "away"
    with Site(root, environ={"XDG_RUNTIME_DIR": str(tmp_path)}) as site:
        site.warmed_up()
        root.rename(away)
        try:
            site.broken()
        finally:
            away.rename(root)  # what it says is kept there
        site.shows("1000")
        site.release(1)
        site.shows("1")


def test_modules_that_come_with_several_directories(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.save("from shop.a.b.c import VERSION\n")
        site.broken()
        (tmp_path / "shop" / "a" / "b").mkdir(parents=True)
        (tmp_path / "shop" / "a" / "b" / "c.py").write_text("VERSION = 'deep'\n")
        site.shows("deep")


def watched(pid: int) -> set[int]:
    """Return the inodes that a process watches. Source: proc_pid_fdinfo(5)."""
    found: set[int] = set()
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            lines = file.read_text().splitlines()
            found.update(int(line.split("ino:")[1].split()[0], 16) for line in lines if line.startswith("inotify "))
    return found


def test_directories_that_nobody_edits(tmp_path: Path) -> None:
    names = ["shop/basket.py", ".cache/deep/file.py", ".own/module.py", "lib/site-packages/six.py", "env/pyvenv.cfg"]
    write_tree(tmp_path, dict.fromkeys([*names, "env/bin/activate.py"], ""))
    loaded = frozenset([str(tmp_path / ".own" / "module.py")])
    found = Interest(str(tmp_path), loaded=loaded).directories()
    assert found == {str(tmp_path / name) for name in ("", "shop", ".own", "lib")}


def test_a_directory_that_goes_while_others_are_learnt(tmp_path: Path) -> None:
    (tmp_path / "site" / "shop").mkdir(parents=True)
    basket = tmp_path / "site" / "shop" / "basket.py"
    basket.write_text("")
    lesson = {"modules": [("shop.basket", str(basket))], "afresh": []}
    project = Project(Interest(str(tmp_path / "site")), Channel(str(tmp_path)), News(None, colour=False))
    project.learn(lesson, time.time_ns())
    (tmp_path / "site" / "shop").rename(tmp_path / "gone")
    assert str(basket.parent) in project.learn(lesson, time.time_ns())
    project.close()


def test_a_clock_that_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "app.py"
    file.write_text("")
    lesson = {"modules": [("app", str(file))], "afresh": []}
    project = Project(Interest(str(tmp_path)), Channel(str(tmp_path)), News(None, colour=False))
    usual = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: usual() - 3600 * 10**9)
    assert project.learn(lesson, time.time_ns()) == set()
    project.close()


def test_a_project_behind_a_link_and_settings_that_are_one(tmp_path: Path) -> None:
    real, link, elsewhere = tmp_path / "real", tmp_path / "to_it", tmp_path / "elsewhere"
    real.mkdir()
    elsewhere.mkdir()
    link.symlink_to(real)
    conf = DJANGO["conf.py"].replace('["pages"', '[Path("pages").resolve()')
    files = {**DJANGO, "conf.py": conf, "pages/page.html": "one"}
    site = Site(link, files=files, environ={"PWD": str(link)}, app=None, settings="conf")
    (real / "conf.py").rename(elsewhere / "conf.py")
    (real / "conf.py").symlink_to(elsewhere / "conf.py")
    with site:
        site.save("# again\n", "shop/__init__.py")
        wait_for(site.reloads, "a reload, before which the first server has told where templates lie")
        site.shows("one")
        site.save("two", "pages/page.html")
        site.shows("two")
        (elsewhere / "conf.new").write_text(f"{conf}TEMPLATES[0]['DIRS'] = ['others']\n")
        (elsewhere / "conf.new").rename(elsewhere / "conf.py")
        site.shows("none")


def test_a_package_that_is_linked_in(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    with Site(root) as site:
        (root / "shop").rename(tmp_path / "shop")
        site.broken()
        (root / "shop").symlink_to(tmp_path / "shop")
        site.shows("0")
        (tmp_path / "shop" / "basket.py").write_text("VERSION = 'edited'\n")
        site.shows("edited")


def test_what_lies_on_the_path_and_what_only_lies_there(tmp_path: Path) -> None:
    root, library = tmp_path / "project", tmp_path / "library"
    (library / "other").mkdir(parents=True)
    (library / "early.py").write_text("")
    app = APP.replace("from shop import basket", "import early, helper").replace("basket", "helper")
    environ = {"PYTHONPATH": str(library)}
    with Site(root, files={"app.py": app, "media/file": ""}, environ=environ, python_path=[str(root / "src")]) as site:
        site.broken()
        (root / "src").mkdir()
        (root / "src" / "helper.py").write_text("VERSION = 1\n")
        site.shows("1")
        site.knows_itself("nothing.py")
        before = len(site.reloads())
        (library / "other" / "module.py").write_text("")
        (root / "media" / "scratch").mkdir()
        wait_for(lambda: (root / "media" / "scratch").stat().st_ino in watched(site.pid), "it to be watched")
        (root / "media" / "scratch").rmdir()
        site.save("VERSION = 2\n", "src/helper.py")
        wait_for(lambda: site.reloads()[before:], "a reload")
        assert site.reloads()[before:][0].endswith(": src/helper.py")


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("watches", "OS file watch limit reached"),
        ("instances", "Error creating recommended watcher: Too many open files"),
    ],
)
def test_a_kernel_that_tells_no_more(limit: str, said: str, tmp_path: Path) -> None:
    lower = f'echo {1 if limit == "watches" else 0} >/proc/sys/user/max_inotify_{limit}; exec "$@"'
    own = ("unshare", "--user", "--map-root-user", "sh", "-c", lower, "sh")
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("nobody may have limits of his own here")
    with Site(tmp_path, before=own) as site:
        wait_for(lambda: f"twice a second from now on: {said}" in site.output, "the line")
        for version in range(1, 3):
            site.release(version)
            site.shows(str(version))


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
