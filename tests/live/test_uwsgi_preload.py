"""SIGHUP on uWSGI with `preload`: the main process executes itself anew, and nobody who asks notices."""

import json
import os
import pwd
import signal
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest

from launcher.testing.checks.process import python_for
from launcher.testing.hold import held
from launcher.testing.serving import Serving, wait_for

from .gunicorn_site import notify_socket
from .load import Load
from .uwsgi_site import REFUSED, Site, answer, in_uwsgi, ours, reload, versions, workers

pytestmark = pytest.mark.live

FAILS = "serve: the main process cannot load the application, old workers serve on; the next try is in "
# Python would note a signal, and begin one long sleep all the same.
LOADS = """
if "uwsgi" in __import__("sys").modules:
    open("loads", "w").close()
    while True:
        time.sleep(0.01)
"""


def served(site: Site, environ: Mapping[str, str] | None = None, **options: Any) -> Serving:
    return site.serving(environ, **{"workers": 2, "threads": 4, "preload": True, **options})


def phase_of(serving: Serving) -> str | None:
    """Return where the last reload is."""
    (found,) = json.loads(serving.command("status", "--format", "json").stdout)
    return found["last_reload"]["phase"] if found["last_reload"] else None


def descriptors(serving: Serving) -> int:
    """Return how many files its processes have open."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in serving.tree())


def test_reloads_under_load_fail_nobody_and_keep_the_process(tmp_path: Path) -> None:
    site = Site(tmp_path, import_s=1.0)
    with served(site) as serving:
        with Load(serving.address, 6, "/sleep?s=0.02") as brief, Load(serving.address, 2, "/sleep?s=0.5") as slow:
            for version in (2, 3):
                site.write(version)
                reload(serving)
                assert versions(serving, 20) == {version}
        assert brief.failures + slow.failures == []
        assert max(brief.longest_s, slow.longest_s) < site.import_s
        assert len(workers(serving)) == 2
        assert serving.process.poll() is None


def test_new_code_is_loaded_with_no_signal_blocked(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with served(site) as serving:
        site.write(2, "assert not __import__('signal').pthread_sigmask(0, ())")
        reload(serving)
        assert answer(serving)[0] == 2


def test_reloads_leave_no_descriptor_open(tmp_path: Path) -> None:
    with served(Site(tmp_path)) as serving:
        reload(serving)
        before = descriptors(serving)
        for _ in range(2):
            reload(serving)
        # The connection of a request may be open for a moment more.
        wait_for(lambda: descriptors(serving) <= before, "descriptors to close")


@pytest.mark.parametrize("end", ["repaired", "asked again", "stopped"])
def test_code_that_fails_in_the_main_process_alone_is_tried_again(end: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    with served(site) as serving:
        old = workers(serving, born=2)
        site.write(2, in_uwsgi("raise ValueError('not here')"))
        done = serving.command("reload")
        assert done.returncode == 4
        assert "old workers serve on while the main process tries again" in done.stderr
        wait_for(lambda: serving.output.count(FAILS) >= 2, "another attempt")
        assert answer(serving)[0] == 1
        assert set(workers(serving)) == set(old)
        if end == "asked again":
            site.write(3, "import nothing_of_the_kind")
            assert "nothing_of_the_kind" in serving.command("reload").stderr
            site.write(3)
            assert serving.command("reload").stdout.startswith("reloaded in ")
            assert versions(serving) == {3}
        elif end == "repaired":
            site.write(3)
            wait_for(lambda: "serve: reloaded 2 workers" in serving.output, "the end of the reload")
            assert versions(serving) == {3}
            site.write(4)
            reload(serving)
        else:
            client, hold = held(serving, tmp_path)
            serving.signal(signal.SIGTERM)
            hold.release()
            assert client.answer().status == 200
            client.close()
            assert serving.wait() == 0


def test_a_server_that_cannot_load_and_has_no_worker_left_ends(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with served(site) as serving:
        old = workers(serving, born=2)
        site.write(2, in_uwsgi("raise ValueError('not here')"))
        serving.signal(signal.SIGHUP)
        wait_for(lambda: FAILS in serving.output, "the failure")
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        assert serving.wait() == 4


def test_a_signal_during_a_reload_is_not_lost(tmp_path: Path) -> None:
    site = Site(tmp_path, import_s=0.5)
    with served(site) as serving:
        site.write(2)
        serving.signal(signal.SIGHUP)
        wait_for(lambda: phase_of(serving) == "replacing", "the end of the proof")
        site.write(3)
        serving.signal(signal.SIGHUP)
        wait_for(lambda: len(ours(serving)) == 3, "the end of both reloads")
        assert versions(serving) == {3}
        assert len(workers(serving)) == 2


def test_a_signal_before_the_master_has_its_handlers_is_not_lost(tmp_path: Path) -> None:
    """uWSGI's own handler would end the server, and workers answer before ours is there."""
    site = Site(tmp_path)
    with served(site, native={"uwsgi": {"hook_master_start": "exec:sleep 1"}}) as serving:
        site.write(2)
        reload(serving)
        assert answer(serving)[0] == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_stop_breaks_off_the_first_import_and_leaves_nothing(number: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    files = {"bind": f"unix:{run / 's.sock'}", "pid_file": str(run / "main.pid")}
    site = Site(tmp_path)
    site.write(1, f"__import__('threading').Thread(target=time.sleep, args=(3600,)).start()\n{LOADS}")
    with served(site, {"XDG_RUNTIME_DIR": str(run)}, ready=False, **files) as serving:
        wait_for((tmp_path / "loads").exists, "the import")
        serving.signal(number)
        assert serving.wait() == 0
        assert "Traceback" not in serving.output
    assert [path for path in run.rglob("*") if not path.is_dir()] == []


@pytest.mark.parametrize("phase", ["proving", "loading", "finishing"])
def test_a_stop_during_a_reload_ends_everything_and_loses_nothing(phase: str, tmp_path: Path) -> None:
    site = Site(tmp_path, import_s=1.0)
    with served(site) as serving:
        client, hold = held(serving, tmp_path)
        site.write(2, LOADS if phase == "loading" else "")
        serving.signal(signal.SIGHUP)
        if phase == "finishing":
            wait_for(lambda: answer(serving)[0] == 2, "the new code")
        elif phase == "loading":
            wait_for((tmp_path / "loads").exists, "the import")
        else:
            wait_for(lambda: phase_of(serving) == phase, phase)
        serving.signal(signal.SIGTERM)
        assert client.silent_for(0.3)
        hold.release()
        assert client.answer().status == 200
        client.close()
        assert serving.wait() == 0


def test_a_request_that_outlasts_the_grace_ends_with_its_worker(tmp_path: Path) -> None:
    with served(Site(tmp_path), graceful_timeout=1) as serving:
        client, _ = held(serving, tmp_path)
        serving.signal(signal.SIGHUP)
        wait_for(lambda: "serve: reloaded 2 workers" in serving.output, "the end of the reload")
        assert serving.output.count("serve: old workers did not finish within 1 s, and are killed") == 1
        client.close()


def test_systemd_hears_of_a_reload(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with notify_socket(tmp_path) as (path, receive):

        def until(word: str) -> list[str]:
            messages = [receive()]
            while word not in messages[-1]:
                messages.append(receive())
            return messages

        with served(site, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"}) as serving:
            until("READY=1")
            serving.command("reload")
            begun = until("RELOADING=1")[-1].split("\n")
            assert [line.partition("=")[0] for line in begun[1:3]] == ["MONOTONIC_USEC", "EXTEND_TIMEOUT_USEC"]
            until("WATCHDOG_USEC=300000000")
            messages = until("READY=1")
            assert messages[-1] == "READY=1\nSTATUS=generation 2"
            assert any(each.startswith("WATCHDOG_USEC=2000000") for each in messages)
            until("WATCHDOG=1")
            site.write(2, "import nothing_of_the_kind")
            serving.command("reload")
            assert "STATUS=reload refused" in until("READY=1")[-1]
            serving.signal(signal.SIGTERM)
            until("STOPPING=1")


def test_a_unix_socket_and_the_pid_file_stay_until_the_end(tmp_path: Path) -> None:
    files: dict[str, Any] = {"bind": f"unix:{tmp_path / 's.sock'}", "pid_file": str(tmp_path / "main.pid")}
    with served(Site(tmp_path), **files) as serving:
        reload(serving)
        reload(serving)
        assert answer(serving)[0] == 1
        assert int((tmp_path / "main.pid").read_text()) == serving.pid
    assert not (tmp_path / "main.pid").exists()  # nor the socket, as Serving sees to


@pytest.fixture
def public() -> Iterator[Path]:
    """Return a directory that everybody may read."""
    with tempfile.TemporaryDirectory(prefix="serve-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("versions", [(), (2, 3)], ids=["not reloaded", "reloaded"])
def test_a_main_process_that_is_root_no_more_is_replaced_and_tidies_up(versions: tuple[int, ...], public: Path) -> None:
    try:
        python, environ = python_for(pwd.getpwnam("nobody"))
    except SkipTest as reason:
        pytest.skip(str(reason))
    log, run = public / "server.log", public / "run"
    log.touch(0o600)
    run.mkdir()
    run.chmod(0o777)
    options: dict[str, Any] = {"user": "nobody", "log_file": str(log), "pid_file": str(run / "main.pid")}
    site = Site(public)
    with served(site, environ, python=python, **options) as serving:
        for version in versions:
            site.write(version)
            assert serving.command("reload").stdout.startswith("reloaded in ")
            assert answer(serving)[0] == version
            assert '"state": "ready"' in serving.command("status", "--format", "json").stdout
        assert log.read_text().count("serve: reloaded 2 workers") == len(versions)
        assert os.stat(f"/proc/{serving.pid}").st_uid != 0


CHILD = in_uwsgi("__import__('subprocess').Popen(['sleep', '600'])")
LISTENER = "listener = __import__('socket').create_server(('127.0.0.1', 0))"


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (CHILD, "the main process has children besides its workers (pid "),
        (LISTENER, "the main process also listens at"),
    ],
    ids=["a child", "a socket"],
)
def test_what_another_main_process_would_trip_over_refuses_the_reload(before: str, reason: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write(1, before)
    with served(site) as serving:
        site.write(2)
        assert reason in reload(serving, REFUSED)
        assert answer(serving)[0] == 1
        for pid in set(serving.tree()) - {serving.pid}:
            if Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                os.kill(pid, signal.SIGKILL)
