"""`serve reload` of waitress and wsgiref, under load."""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from launcher.testing.serving import Serving, toml_text, wait_for
from tests.live.load import Load

pytestmark = pytest.mark.live

SERVERS = ("waitress", "wsgiref")

APP = """import json
import os

NUMBER = RELEASE


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"release": NUMBER, "pid": os.getpid(), "word": os.environ.get("WORD")}).encode()]
"""


class Site:
    """A project whose releases are numbered, and a server on it."""

    def __init__(self, root: Path, server: str, **options: Any) -> None:
        self.root = root
        # Records are found below TMPDIR.
        self.environ: Mapping[str, str] = {"TMPDIR": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        self.options = {"server": server, "bind": ["127.0.0.1:0"], "app": "app:application", "workers": 2, **options}
        self.release(1)
        self.serving = Serving(root, self.options, environ=self.environ)

    def release(self, number: int | str) -> None:
        (self.root / "app.py").write_text(APP.replace("RELEASE", str(number)))

    def profile(self, **options: Any) -> None:
        """Change options in the profile, as an editor would."""
        self.options |= options
        (self.root / "profiles" / "kit.toml").write_text(toml_text(self.options))

    def reload(self) -> str:
        """Insist on a good reload, and return what was said."""
        done = self.serving.command("reload")
        assert done.returncode == 0, done.stdout + done.stderr + self.serving.output
        return done.stdout

    def ask(self) -> Any:
        return self.serving.report("/", "Connection: close")

    def pids(self, count: int) -> set[int]:
        """Wait until so many workers are there and no more, and return them."""

        def workers() -> set[int]:
            return set(self.serving.tree()) - {self.serving.pid}

        return wait_for(lambda: len(found := workers()) == count and found, f"{count} workers")

    def answering(self, count: int) -> set[int]:
        """Wait until so many workers have answered, and return them."""
        found = self.pids(count)
        seen: set[int] = set()

        def all_answer() -> bool:
            seen.add(self.ask()["pid"])
            return found <= seen

        wait_for(all_answer, f"answers of {found}")
        return found


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.timeout(300)
def test_reloads_under_load_lose_nothing(server: str, preload: bool, tmp_path: Path) -> None:
    site = Site(tmp_path, server, preload=preload)
    with site.serving as serving, Load(serving.address) as load:
        for number in range(2, 7):
            site.release(number)
            assert f"generation {number}" in site.reload()
            assert site.ask()["release"] == number
            load.wait_for_more(20)
            if number % 2:
                site.release("1 +")
                done = site.serving.command("reload")
                assert done.returncode == 4, done.stdout
                assert "the old code goes on serving: " in done.stderr
                assert site.ask()["release"] == number
                load.wait_for_more(20)
    assert load.failures == []
    assert load.longest_s < 5, "nobody is to wait for a reload"
    assert serving.output.count("reload refused") == 2


@pytest.mark.parametrize("server", SERVERS)
def test_new_workers_that_die_leave_the_old_ones(server: str, tmp_path: Path) -> None:
    site = Site(tmp_path, server)
    with site.serving as serving:
        before = site.answering(2)
        # The proof, which is no server's child, lets it pass.
        code = f"os.kill(os.getpid(), 9) if os.getppid() == {serving.pid} else 2"
        site.release(code)
        done = site.serving.command("reload")
        assert done.returncode == 4
        assert "was ended by SIGKILL before it was ready" in done.stderr
        assert site.ask()["release"] == 1
        assert site.pids(2) == before
        site.release(3)
        site.reload()
        assert site.ask()["release"] == 3


@pytest.mark.parametrize("server", SERVERS)
def test_reload_ends_well_though_its_record_has_gone(server: str, tmp_path: Path) -> None:
    site = Site(tmp_path, server)
    with site.serving as serving:
        site.answering(2)
        vanish = "__import__('shutil').rmtree(os.environ['LAUNCHER_INSTANCE'], True)"
        site.release(f"2 if os.getppid() != {serving.pid} else {vanish} or 2")  # the proof needs it
        serving.signal(signal.SIGHUP)
        wait_for(lambda: "reloaded: generation 2" in serving.output, "the end of the reload")
        assert site.ask()["release"] == 2


@pytest.mark.parametrize("server", SERVERS)
def test_reload_changes_options_and_environment(server: str, tmp_path: Path) -> None:
    site = Site(tmp_path, server)
    with site.serving as serving:
        site.profile(workers=3, log_level="warning", env={"WORD": "one"})
        said = site.reload()
        assert "workers = 3" in said
        assert site.ask()["word"] == "one"
        site.pids(3)
        site.profile(workers=1, env={"WORD": "two"})
        site.reload()
        assert site.ask()["word"] == "two"
        site.pids(1)
        site.profile(env={})
        site.reload()
        assert site.ask()["word"] is None
        assert serving.output.count("reloaded: generation") == 1, "a warning level leaves it out"
        site.profile(bind=["127.0.0.1:1"])
        done = site.serving.command("reload")
        assert "a reload cannot change bind" in done.stderr


@pytest.mark.parametrize("server", SERVERS)
def test_hang_ups_during_a_reload_are_one_more(server: str, tmp_path: Path) -> None:
    site = Site(tmp_path, server)
    with site.serving as serving:
        for _ in range(5):
            os.kill(serving.pid, signal.SIGHUP)
        wait_for(lambda: "reloaded: generation 2" in serving.output, "the first reload")
        site.release(7)
        os.kill(serving.pid, signal.SIGHUP)
        wait_for(lambda: site.ask()["release"] == 7, "the last release")


@pytest.mark.parametrize("server", SERVERS)
def test_term_during_a_reload_stops_cleanly(server: str, tmp_path: Path) -> None:
    site = Site(tmp_path, server)
    with site.serving as serving:
        os.kill(serving.pid, signal.SIGHUP)
        wait_for(lambda: list(tmp_path.glob("serve-*/*/reload.json")), "the reload")
        assert serving.stop() == 0
        assert not list(tmp_path.glob("serve-*/serve-*")), "the record is left behind"


STUBBORN = """1
import signal
import time
if os.getppid() == {}:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    open(f"loads-{{os.getpid()}}", "w").close()
    time.sleep(600)
"""


@pytest.mark.parametrize("server", SERVERS)
def test_term_waits_for_no_worker_that_loads(server: str, tmp_path: Path) -> None:
    """It would hold the listening socket, and let clients in, while nobody accepts any more."""
    site = Site(tmp_path, server)
    with site.serving as serving:
        site.release(STUBBORN.format(serving.pid))
        os.kill(serving.pid, signal.SIGHUP)
        wait_for(
            lambda: "replacing" in "".join(map(Path.read_text, tmp_path.glob("serve-*/*/reload.json"))), "the reload"
        )
        site.pids(4)
        began = time.monotonic()
        assert serving.stop() == 0
        assert time.monotonic() - began < 15, "graceful_timeout is 30 s"


@pytest.mark.parametrize("server", SERVERS)
def test_status_shows_the_workers(server: str, tmp_path: Path) -> None:
    site = Site(tmp_path, server)
    with site.serving:
        pids = site.pids(2)
        wait_for(lambda: site.serving.command("status").stdout.count(" ready, generation 1") == 2, "two ready workers")
        said = site.serving.command("status").stdout
        assert all(f"worker     {pid} " in said for pid in pids)
        assert json.loads(site.serving.command("status", "--format", "json").stdout)
        site.serving.command("stop")
        assert site.serving.wait() == 0
