"""SIGHUP on uWSGI where the profile was edited: the main process executes itself anew for other words."""

import json
import signal
from pathlib import Path

import pytest

from launcher.testing.serving import wait_for

from .load import Load
from .uwsgi_site import REFUSED, Site, answer, in_uwsgi, reload, versions, workers

pytestmark = pytest.mark.live


def threads(pid: int) -> int:
    """Return how many threads a worker has, its own one among them."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_workers_go_up_and_down_under_load(tmp_path: Path) -> None:
    site = Site(tmp_path, import_s=0.5)
    with site.serving(workers=1, threads=2) as serving:
        old = workers(serving, 1)
        with Load(serving.address, 6, "/sleep?s=0.02") as brief, Load(serving.address, 2, "/sleep?s=0.5") as slow:
            for count in (3, 2):
                site.profile(workers=count, threads=count)
                site.write(count)
                reload(serving, f"serve: reloaded {len(old)} worker")
                new = workers(serving)
                assert len(new) == count
                assert not {*new} & {*old}
                assert versions(serving, 20) == {count}
                old = new
        assert brief.failures + slow.failures == []
        assert max(brief.longest_s, slow.longest_s) < 2
        assert threads(old[0]) >= 2
        assert serving.process.poll() is None
        serving.stop_cleanly()


def test_code_and_words_take_turns(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(workers=2) as serving:
        for version in (2, 3, 4, 5):
            site.write(version)
            site.profile(workers=1 + version // 2 % 2)
            reload(serving)
            assert versions(serving) == {version}


def test_what_a_hook_of_ours_reads_is_changed_too(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(workers=1, ready_path="/ready") as serving:
        site.profile(drain_delay=1)
        reload(serving)
        serving.signal(signal.SIGTERM)
        wait_for(lambda: serving.request("/ready").status == 503, "a server that drains")
        assert answer(serving)[0] == 1
        assert serving.wait() == 0


def test_broken_code_changes_no_word(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(workers=1) as serving:
        old = workers(serving, 1)
        site.write(2, "raise ValueError('not here')")
        site.profile(workers=2)
        reload(serving, REFUSED)
        assert workers(serving) == old
        assert answer(serving)[0] == 1


@pytest.mark.parametrize("end", ["raise ValueError('not here')", "os._exit(3)"], ids=["raises", "ends the process"])
def test_code_that_fails_in_workers_alone_lets_old_ones_serve_until_it_is_mended(end: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(workers=2) as serving:
        old = workers(serving, 2)
        site.write(2, in_uwsgi(end))
        site.profile(workers=1)
        done = serving.command("reload")
        assert done.returncode != 0
        assert "a new worker did not become ready" in done.stderr
        assert {answer(serving) for _ in range(10)} <= {(1, pid) for pid in old}
        site.write(3)
        wait_for(lambda: "serve: reloaded 2 workers" in serving.output, "the end of the reload")
        assert versions(serving) == {3}
        assert len(workers(serving)) == 1


def test_signals_meanwhile_are_not_lost(tmp_path: Path) -> None:
    site = Site(tmp_path, import_s=0.5)

    def begun() -> int:
        return sum(json.loads(path.read_text())["number"] for path in tmp_path.glob("serve/*/reload.json"))

    with site.serving({"XDG_RUNTIME_DIR": str(tmp_path)}, workers=2) as serving:
        workers(serving, 2)
        site.profile(workers=1)
        serving.signal(signal.SIGHUP)
        wait_for(begun, "the first reload")
        serving.signal(signal.SIGHUP)
        wait_for(lambda: begun() == 2, "the second, by the next main process")
        site.write(3)
        serving.signal(signal.SIGHUP)
        wait_for(lambda: answer(serving)[0] == 3, "the last code")
        wait_for(lambda: len(workers(serving)) == 1, "one worker")


def test_a_stop_meanwhile_ends_everything_and_loses_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, import_s=0.5)
    with site.serving(workers=2, threads=4) as serving:
        workers(serving, 2)
        site.profile(workers=1)
        serving.signal(signal.SIGHUP)
        clients = [serving.client() for _ in range(4)]
        for client in clients:
            client.get("/sleep?s=2")
        wait_for(lambda: serving.output.count("spawned uWSGI master process") == 2, "the next main process")
        serving.signal(signal.SIGTERM)
        assert [client.answer().status for client in clients] == [200] * 4
        assert serving.wait() == 0
        for client in clients:
            client.close()


def test_a_router_would_not_survive_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(workers=1, keepalive=5) as serving:
        site.profile(workers=2)
        assert "a reload cannot change workers" in reload(serving, REFUSED)
        site.profile(workers=1, keepalive=None)
        assert "its router has the connections, and would be left behind" in reload(serving, REFUSED)
        site.write(2)
        site.profile(keepalive=5)
        reload(serving)
        assert answer(serving)[0] == 2
