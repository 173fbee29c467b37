"""The development loop on real servers: edits are served, nobody is refused, and broken code is shown."""

import contextlib
import http.client
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from launcher.errors import Exit
from launcher.testing.serving import wait_for
from tests.develop.ahead import parent_of
from tests.develop.site import APP, Site
from tests.live.load import Load
from tests.machine import SERVERS, write_tree

DJANGO = {
    "conf.py": "SECRET_KEY = 'of the tests'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'urls'\n",
    "urls.py": "urlpatterns = []\n",
}

MANAGE = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', '{}')\n"

pytestmark = pytest.mark.live


@pytest.mark.parametrize("server", SERVERS)
def test_edits_are_served_and_nobody_is_refused(server: str, tmp_path: Path) -> None:
    with Site(tmp_path, server) as site:
        site.warmed_up()
        # An idle connection that is kept ends with the server that it is to.
        with Load(site.address, 3, "/", keep=False, pause_s=0.002) as load:
            for version in range(1, 11):
                site.release(version)
                site.shows(str(version))
        assert load.answers > 10
        assert load.failures == []
        answering(site)
        assert (
            site.now() == "10"
        )  # with which the worker begins to show what it has counted, in the row that it has by now
        before = answering(site)
        assert site.now() == "10"
        after = answering(site)
        assert (after["pid"], after["requests"]) == (before["pid"], before["requests"] + 1)
        assert parent_of(parent_of(after["pid"])) == site.pid


def answering(site: Site) -> Any:
    """Return the one worker that `serve status` shows."""
    ((worker,),) = [each["workers"] for each in json.loads(site.command("status", "--format", "json").stdout)]
    assert worker["state"] == "ready"
    return worker


@pytest.mark.parametrize("server", SERVERS)
def test_a_request_meanwhile_waits_for_the_new_code(server: str, tmp_path: Path) -> None:
    with Site(tmp_path, server) as site:
        site.save("import time\ntime.sleep(1)\nVERSION = 'slow to import'\n")
        wait_for(lambda: site.now() == "slow to import", "the new code")


@pytest.mark.parametrize("server", SERVERS)
def test_broken_code_is_shown_and_mended(server: str, tmp_path: Path) -> None:
    with Site(tmp_path, server) as site:
        site.save("VERSION = 1 +\n")
        page = site.broken()
        assert b"basket.py" in page.body
        assert b"SyntaxError" in page.body
        site.save("raise KeyError('another one')\n")
        wait_for(lambda: b"another one" in site.request("/").body, "the other error")
        site.release(2)
        site.shows("2")
        assert site.output.count("SyntaxError: invalid syntax") == 1
        assert "ERROR" not in site.output


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "was ended by SIGSEGV"),
        ("import os; os._exit(3)", "ended with status 3"),
    ],
    ids=["killed", "crashed", "exits"],
)
def test_a_module_that_ends_its_process_is_tried_once(server: str, how: str, said: str, tmp_path: Path) -> None:
    with Site(tmp_path, server) as site:
        site.save(f"print('tried', flush=True)\n{how}\n")
        page = site.broken().body.decode()
        if server == "uwsgi" and said == "ended with status 3":
            said = "ended"
        assert f"a worker {said} while it loaded the application." in page
        assert site.output.count("tried") == 1
        site.release(1)
        site.shows("1")
        assert site.output.count("while it loaded") == 1
        assert "ERROR" not in site.output


def test_it_starts_with_broken_code(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.save("import nowhere\n")
    with site:
        assert b"nowhere" in site.broken().body
        site.release(1)
        site.shows("1")


@pytest.mark.parametrize("place", ["", "../library/"], ids=["in the project", "beside it"])
def test_two_saves_of_one_size_within_a_second(place: str, tmp_path: Path) -> None:
    module = f"{place}shop/basket.py"
    files = {"app.py": APP, f"{place}shop/__init__.py": "", module: "VERSION = 100\n"}
    with Site(tmp_path / "project", files=files, environ={"PYTHONPATH": str(tmp_path / "library")}) as site:
        for version in range(101, 130):
            site.save(f"VERSION = {version}\n", module)
            site.shows(str(version))


@pytest.mark.parametrize("server", SERVERS)
def test_what_the_application_prints_is_seen_at_once(server: str, tmp_path: Path) -> None:
    printing = "    import sys\n    print('out')\n    print('err', file=sys.stderr)\n"
    files = {"app.py": answers("one").replace("    body", f"{printing}    body", 1)}
    with Site(tmp_path, server, files=files, environ={"PYTHONUNBUFFERED": ""}) as site:
        site.shows("one")
        wait_for(lambda: "out\n" in site.output and "err\n" in site.output, "what was printed")


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_raised_and_not_answered_is_shown_without_our_frames(server: str, tmp_path: Path) -> None:
    receiver = (
        "from django.core import signals\ndef fail(**facts):\n    raise ValueError('once it {0}')\n"
        "signals.request_{0}.connect(fail)\nurlpatterns = []\n"
    )
    with Site(tmp_path, server, files=DJANGO, app=None, settings="conf", validate=True) as site:
        for when in ("started", "finished"):
            site.save(receiver.format(when), "urls.py")

            def is_told(text: str = f"ValueError: once it {when}\n") -> bool:
                with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
                    site.request("/")  # some servers answer, and some just close
                return text in site.output

            wait_for(is_told, f"the error when it {when}")
        files = re.findall(r'File "(.+?)"', site.output)
        assert str(tmp_path / "urls.py") in files
        assert [file for file in files if "/django/" not in file and file != str(tmp_path / "urls.py")] == []


def test_a_page_with_many_parts_is_nothing_to_tell(tmp_path: Path) -> None:
    slow = "    import os, time\n    while not os.path.exists('go'):\n        time.sleep(0.01)\n"
    files = {"app.py": answers("one").replace("    body", f"{slow}    body", 1), "go": ""}
    with Site(tmp_path, "waitress", files=files, threads=1) as site:
        (tmp_path / "go").unlink()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(site.client()) for _ in range(3)]
            for client in clients:
                client.get("/")
            (tmp_path / "go").write_text("")
            assert [client.answer().body for client in clients] == [b"one"] * 3
        assert "queue" not in site.output


def test_a_burst_is_one_reload(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.warmed_up()
        before = len(site.reloads())
        for number in range(200):
            site.save(f"NUMBER = {number}\n", f"shop/module{number}.py")
        site.release(7)
        site.shows("7")
        wait_for(lambda: len(site.reloads()) > before, "the line")
        assert len(site.reloads()) - before <= 3


def test_moved_and_deleted_packages(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        (tmp_path / "stand").mkdir()
        site.save("VERSION = 'of the stand'\n", "stand/basket.py")
        (tmp_path / "shop").rename(tmp_path / "shut")
        assert b"shop" in site.broken().body
        (tmp_path / "stand").rename(tmp_path / "shop")
        site.shows("of the stand")


def test_a_watched_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "names.csv").write_text("one")
    with Site(tmp_path, watch=["data/*.csv"]) as site:
        site.save("from pathlib import Path\nVERSION = Path('data/names.csv').read_text()\n")
        site.shows("one")
        site.save("two", "data/names.csv")
        site.shows("two")


def test_a_profile_is_read_again(tmp_path: Path) -> None:
    with Site(tmp_path, env={"COLOUR": "red"}) as site:
        site.save("import os\nVERSION = os.environ['COLOUR']\n")
        site.shows("red")
        profile = tmp_path / "profiles" / "kit.toml"
        good = profile.read_text()
        profile.write_text(good.replace('"red"', '"blue"'))
        site.shows("blue")
        profile.write_text("threads = \n")
        wait_for(lambda: "kit.toml:1" in site.output, "what is wrong with it")
        assert site.now() == "blue"
        profile.write_text(f'bind = ["127.0.0.1:1"]\n{re.sub("bind.*", "", good)}')
        wait_for(
            lambda: "serve: profiles/kit.toml:1: another bind takes effect" in site.output, "where another bind is"
        )
        profile.write_text(good)
        site.shows("red")


def test_a_killed_server_is_started_again(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.warmed_up()
        for victim in set(site.tree()) - {site.pid}:
            with contextlib.suppress(ProcessLookupError):  # it may have ended with the one before it
                os.kill(victim, signal.SIGKILL)
        wait_for(lambda: site.request("/").status == 200 or site.request("/").status == 500, "an answer")
        site.release(3)
        site.shows("3")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_it_stops(server: str, number: int, tmp_path: Path) -> None:
    with Site(tmp_path, server) as site:
        site.warmed_up()
        site.signal(number)
        assert site.wait() == 0
        wait_for(lambda: not site.tree(), "its processes to end")


def test_nothing_is_left_of_one_that_is_killed(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.warmed_up()
        site.signal(signal.SIGKILL)
        site.wait()
        wait_for(lambda: not site.tree(), "its processes to end")


def test_status_reload_and_stop(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        assert "ready" in site.command("status").stdout
        assert site.command("reload").returncode == 0
        site.save("VERSION = 1 +\n")
        site.broken()
        refused = site.command("reload")
        assert refused.returncode == Exit.TARGET
        assert "SyntaxError" in refused.stderr
        assert site.command("stop").returncode == 0
        assert site.wait() == 0


def test_status_of_one_by_its_pid(tmp_path: Path) -> None:
    with Site(tmp_path) as site:

        def status(status: int, pid: int = site.pid) -> Any:
            done = site.command("status", "--pid", str(pid), "--format", "json")
            assert done.returncode == status, done.stdout + done.stderr
            return json.loads(done.stdout)

        (first,) = status(Exit.FINE)
        assert (first["pid"], first["server"], first["addresses"]) == (site.pid, "wsgiref", list(site.addresses))
        site.release(1)
        site.shows("1")
        (then,) = status(Exit.FINE)
        assert then["generation"] > first["generation"]
        assert {worker["pid"] for worker in then["workers"]} <= set(site.tree())
        site.save("VERSION = 1 +\n")
        site.broken()
        (broken,) = status(Exit.NOT_READY)
        assert not broken["ready"]
        assert status(Exit.NOT_READY, os.getpid()) == []
        said = site.command("status", "--pid", str(os.getpid())).stderr
        assert f"no server with pid {os.getpid()} that you may see runs with profile kit" in said


def test_a_slow_start_is_spoken_of(tmp_path: Path) -> None:
    slow = "import os, time\nwhile not os.path.exists({}):\n    time.sleep(0.01)\nVERSION = 'slow'\n"
    site = Site(tmp_path, ready=False)
    site.save(slow.format("'first'"))
    with site:
        wait_for(lambda: "serve: still starting after 5 s\n" in site.output, "the line")
        (tmp_path / "first").touch()
        site.addresses = site.announced()
        site.shows("slow")
        site.save(slow.format("'second'"))
        wait_for(lambda: "serve: still starting after 5 s: shop/basket.py\n" in site.output, "the second line")
        (tmp_path / "second").touch()
        wait_for(site.reloads, "the end of it")
        assert site.output.count("still starting") == 2


def test_settings_that_name_another_application(tmp_path: Path) -> None:
    files = {
        "conf.py": "WSGI_APPLICATION = 'one.app'\n",
        "one.py": answers("one"),
        "other.py": answers("other"),
    }
    with Site(tmp_path, files=files, app=None, settings="conf") as site:
        site.shows("one")
        site.save("WSGI_APPLICATION = 'other.app'\n", "conf.py")
        site.shows("other")
        site.save("WSGI_APPLICATION = (\n", "conf.py")
        site.broken()
        site.save("WSGI_APPLICATION = 'one.app'\n", "conf.py")
        site.shows("one")


def test_a_module_that_settings_would_like_to_have(tmp_path: Path) -> None:
    files = {
        "conf/__init__.py": "",
        "conf/base.py": "WSGI_APPLICATION = 'one.app'\n",
        "conf/dev.py": "from .base import *\ntry:\n    from .local import *\nexcept ImportError:\n    pass\n",
        "one.py": f"import conf.dev\n{answers('one')}",
        "other.py": f"import conf.dev\n{answers('other')}",
    }
    with Site(tmp_path, files=files, app=None, settings="conf.dev") as site:
        site.shows("one")
        site.save("WSGI_APPLICATION = 'other.app'\n", "conf/local.py")
        site.shows("other")
        (tmp_path / "conf/local.py").unlink()
        site.shows("one")
        site.save("WSGI_APPLICATION = 'other.app'\n", "conf/base.py")
        site.shows("other")


def test_what_stands_for_modules_and_a_lazy_one(tmp_path: Path) -> None:
    odd = (
        "import importlib.util, sys\n"
        "class Odd:\n    def __getattr__(self, name):\n        return lambda: None\n"
        "class Library:\n    __slots__ = ()\n    __class__ = property(lambda self: type(sys))\n"
        "sys.modules.update(odd=Odd(), library=Library(), gone=None)\n"
        "spec = importlib.util.find_spec('lazy')\nspec.loader = importlib.util.LazyLoader(spec.loader)\n"
        "sys.modules['lazy'] = lazy = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(lazy)\n"
    )
    files = {"app.py": odd + answers("one"), "lazy.py": "import nothing_of_that_name\n"}
    with Site(tmp_path, files=files) as site:
        site.shows("one")
        site.save(odd + answers("two"), "app.py")
        site.shows("two")


def test_what_chooses_the_settings(tmp_path: Path) -> None:
    """`serve` is typed in a directory of the project's, and finds the settings by manage.py."""
    profile = 'server = "wsgiref"\nbind = ["127.0.0.1:0"]\nreload = true\n'
    files = {
        "profiles/kit.toml": profile,
        "manage.py": MANAGE.format("conf"),
        "conf.py": "WSGI_APPLICATION = 'one.app'\nfail\n",
        "web/settings/__init__.py": "WSGI_APPLICATION = 'three.app'\n",
        "one.py": "import conf\napp = None\n",
        "two.py": answers("two"),
        "three.py": f"import web.settings\n{answers('three')}",
        "four.py": answers("four"),
    }
    site = Site(tmp_path, files=files, app=None)
    site.directory = tmp_path / "web"
    with site:
        assert b"fail" in site.broken().body
        site.save("WSGI_APPLICATION = 'two.app'\n", "conf.py")
        site.shows("two")
        site.save(MANAGE.format("web.settings"), "manage.py")
        site.shows("three")
        site.save("WSGI_APPLICATION = 'four.app'\n", "web/settings/kit.py")
        site.shows("four")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("WSGI_APPLICATION = (\n", "'(' was never closed"),
        ("import os\nWSGI_APPLICATION = os.environ['NOBODY_SETS_IT']\n", "KeyError: 'NOBODY_SETS_IT'"),
        ("WSGI_APPLICATION = 'nowhere.app'\n", "there is no module nowhere"),
        ("WSGI_APPLICATION = 'one.apt'\n", "Did you mean 'app'?"),
        ("DEBUG = True\n", "has no WSGI_APPLICATION"),
    ],
)
def test_it_starts_with_settings_that_cannot_be_read(settings: str, said: str, tmp_path: Path) -> None:
    files = {"conf.py": settings, "one.py": answers("one")}
    with Site(tmp_path, files=files, app=None, settings="conf") as site:
        page = site.broken().body.decode()
        assert said in page
        assert "conf.py" in page
        assert "conf, which cannot be read\n" in site.command("status").stdout
        site.save("# nothing else\n", "other.py")
        wait_for(lambda: site.output.count(said) == 2, "another try")
        site.save("WSGI_APPLICATION = 'one.app'\n", "conf.py")
        site.shows("one")
        assert "conf, one:app\n" in site.command("status").stdout
        assert site.output.count(said) == 2


def test_settings_that_lack_an_installed_package(tmp_path: Path) -> None:
    files = {"conf.py": "import extra\nWSGI_APPLICATION = extra.APP\n", "one.py": answers("one")}
    installed = tmp_path / "site-packages"
    installed.mkdir()
    with Site(tmp_path / "site", files=files, app=None, settings="conf", python_path=[str(installed)]) as site:
        assert b"extra" in site.broken().body
        (installed / "extra.py").write_text("APP = 'one.app'\n")
        assert site.command("reload").returncode == 0
        assert site.now() == "one"


def test_a_profile_that_is_saved_as_it_was_while_a_server_starts(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        profile = tmp_path / "profiles" / "kit.toml"
        site.save("import time\ntime.sleep(1)\nVERSION = 'slow'\n")
        wait_for(lambda: len(site.tree()) > 3, "a start")
        profile.write_text(profile.read_text())
        site.shows("slow")


def answers(word: str) -> str:
    """Return an application that answers a word."""
    return APP.replace("basket.VERSION", repr(word)).replace("from shop import basket", "")


@pytest.mark.parametrize("name", [b"caf\xe9.py", b"caf\xe9/menu.py"], ids=["file", "directory"])
def test_a_name_that_is_not_utf_8(name: bytes, tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.release(1)
        site.shows("1")
        write_tree(tmp_path, {os.fsdecode(name): ""})
        wait_for(lambda: "twice a second from now on" in site.output, "the line")
        site.release(2)
        site.shows("2")
