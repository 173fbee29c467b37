"""`serve status`, `reload` and `stop`: the same on every server."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launcher.testing.hold import held
from launcher.testing.serving import Serving, clean_environment, wait_for
from tests.machine import SERVERS

from .load import Load

pytestmark = pytest.mark.live

SITE = """
import os
from launcher.testing.application import app as kit

def app(environ, start_response):
    if environ["PATH_INFO"] == "/quit":
        raise SystemExit(3)
    if environ["PATH_INFO"] == "/die":
        os._exit(3)
    if environ["PATH_INFO"] != "/":
        return kit(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{release} " + os.environ.get("COLOUR", "none").encode()]
"""


class Site:
    """A project whose releases tests write, and the server that runs it."""

    def __init__(self, root: Path, server: str, **options: Any) -> None:
        self.root = root
        # Two releases within a second must not be told apart by the bytecode cache, which compares whole seconds.
        environ = {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(root)}
        profile = {"app": "site_of_hands:app", "server": server, "bind": "127.0.0.1:0", "threads": 4, "workers": 2}
        self.release("1")
        self.serving = Serving(root, {**profile, "graceful_timeout": 20, **options}, environ=environ)

    def release(self, text: str) -> None:
        self.save("site_of_hands.py", SITE.replace("{release}", text))

    def save(self, name: str, text: str) -> None:
        fresh = self.root / "fresh"
        fresh.write_text(text)
        fresh.replace(self.root / name)

    def answer(self) -> str:
        return self.serving.request("/").body.decode()

    def serve(self, *words: str, status: int = 0) -> str:
        """Run a command as a person would, and return what it says."""
        done = self.serving.command(*words)
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def status(self, *, status: int = 0) -> dict[str, Any]:
        (found,) = json.loads(self.serve("status", "--format", "json", status=status))
        return dict(found)


@pytest.mark.parametrize("preload", [False, True], ids=["in-workers", "preload"])
@pytest.mark.parametrize("server", SERVERS)
def test_the_life_of_a_server(server: str, preload: bool, tmp_path: Path) -> None:
    site = Site(tmp_path, server, preload=preload)
    with site.serving as serving:
        wait_for(lambda: len(site.status()["workers"]) == 2 and site.status()["ready"], "two workers")
        first = site.status()
        assert (first["pid"], first["server"], first["generation"]) == (serving.pid, server, 1)
        assert {worker["state"] for worker in first["workers"]} == {"ready"}
        assert all(worker["memory"] > 2**20 and worker["age"] >= 0 for worker in first["workers"])
        with Load(site.serving.address, clients=4, target="/") as load:
            for number in ("2", "3"):
                site.release(number)
                assert site.serve("reload").startswith("reloaded in ")
                assert {site.answer() for _ in range(10)} == {f"{number} none"}
            site.save("site_of_hands.py", "import nothing_of_the_kind\n" + SITE)
            said = site.serve("reload", status=4)
            assert "the old code goes on serving" in said
            assert 'File "' in said  # the traceback goes to whoever asked
            assert "Traceback" not in serving.output
            profile = tmp_path / "profiles" / "kit.toml"
            site.release("4")
            profile.write_text(profile.read_text() + '\n[env]\nCOLOUR = "green"\n')
            assert "COLOUR" in site.serve("reload")
            assert {site.answer() for _ in range(10)} == {"4 green"}
            load.wait_for_more()
        assert load.failures == []
        last = site.status()
        assert last["generation"] == 4
        assert last["last_reload"]["ok"] is True
        assert not {worker["pid"] for worker in first["workers"]} & {worker["pid"] for worker in last["workers"]}
        assert "stopped in" in site.serve("stop")
        assert serving.process.wait(20) == 0
    assert "no server of this project that you may see runs" in site.serve("status", status=6)
    assert list(tmp_path.glob("serve-*/serve-*")) == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_reload_changes_the_number_of_workers(server: str, tmp_path: Path) -> None:
    site = Site(tmp_path, server, preload=server == "uwsgi")  # with it the main process executes itself anew
    profile = tmp_path / "profiles" / "kit.toml"
    with site.serving:
        text = profile.read_text()
        for count in (3, 1):
            profile.write_text(text.replace("workers = 2", f"workers = {count}"))
            assert f"workers = {count}" in site.serve("reload")
            wait_for(lambda: len(site.status()["workers"]) == count, f"{count} workers")


@pytest.mark.parametrize("server", SERVERS)
def test_what_only_a_restart_brings_is_refused_by_name(server: str, tmp_path: Path) -> None:
    site = Site(tmp_path, server)
    profile = tmp_path / "profiles" / "kit.toml"
    with site.serving:
        profile.write_text("backlog = 77\n" + profile.read_text())
        told = "a reload cannot change backlog (profiles/kit.toml:1): restart the server"
        assert told in site.serve("reload", status=4)
        assert site.answer() == "1 none"


@pytest.mark.parametrize("server", SERVERS)
def test_a_stop_does_not_need_the_profile_to_be_whole(server: str, tmp_path: Path) -> None:
    site = Site(tmp_path, server)
    with site.serving as serving:
        (tmp_path / "profiles" / "kit.toml").write_text("workers = [\n")
        assert "profiles/kit.toml" in site.serve("reload", status=4)
        site.serve("stop")
        assert serving.process.wait(20) == 0


@pytest.mark.parametrize("options", [{}, {"drain_delay": 30}], ids=["finishing", "drain_delay"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_server_that_stops_says_so_and_refuses_a_reload(server: str, options: dict[str, Any], tmp_path: Path) -> None:
    site = Site(tmp_path, server, **options)
    with site.serving as serving:
        client, hold = held(serving, tmp_path)
        serving.signal(signal.SIGTERM)
        wait_for(lambda: ", stopping, " in serving.command("status").stdout, "the word")
        assert not site.status(status=6)["ready"]
        assert f"the reload was refused: the server (pid {serving.pid}) was told to stop" in site.serve(
            "reload", status=6
        )
        stop = [sys.executable, "-P", "-m", "launcher", "stop", "--profile", "kit"]
        environ = {**clean_environment(), "TMPDIR": str(tmp_path)}
        with subprocess.Popen(stop, cwd=tmp_path, env=environ) as second:  # it makes no haste
            wait_for(lambda: waits_for_a_process(second.pid), "the other stop")
            hold.release()
            assert client.answer().status == 200
            client.close()
            serving.signal(signal.SIGINT)
            assert serving.wait() == 0
            assert second.wait(20) == 0


def waits_for_a_process(pid: int) -> bool:
    """Source: proc(5), /proc/pid/fd and /proc/pid/stat."""
    directory = Path(f"/proc/{pid}")
    with contextlib.suppress(FileNotFoundError):
        opened = any("pidfd" in os.readlink(each) for each in (directory / "fd").iterdir())
        return opened and (directory / "stat").read_text().rpartition(") ")[2][0] == "S"
    return False


@pytest.mark.parametrize("path", ["/quit", "/die"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_view_that_ends_its_process_does_not_end_the_server(server: str, path: str, tmp_path: Path) -> None:
    with Site(tmp_path, server).serving as serving:
        for _ in range(3):
            try:
                assert serving.request(path).status == 500
            except ConnectionError:
                pass  # the worker has gone, and the answer with it
        wait_for(lambda: _answers(serving), "an answer")
        assert serving.process.poll() is None


def _answers(serving: Serving) -> bool:
    try:
        return serving.request("/").status == 200
    except ConnectionError:
        return False


def test_of_two_servers_the_pid_says_which(tmp_path: Path) -> None:
    one, other = Site(tmp_path, "waitress"), Site(tmp_path, "waitress")
    with one.serving, other.serving:
        assert len(json.loads(one.serve("status", "--format", "json"))) == 2
        assert "Say which with --pid" in one.serve("stop", status=2)
        one.serve("stop", "--pid", str(other.serving.pid))
        assert one.status()["pid"] == one.serving.pid


def test_a_server_that_was_killed_is_not_found(tmp_path: Path) -> None:
    site = Site(tmp_path, "wsgiref")
    with site.serving as serving:
        os.kill(serving.pid, signal.SIGKILL)
        serving.process.wait(20)
        wait_for(lambda: len(serving.tree()) == 0, "the workers to go")
        assert "no server of this project that you may see runs" in site.serve("stop", status=6)
