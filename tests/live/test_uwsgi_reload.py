"""SIGHUP on uWSGI: new workers are ready before old ones go, and code that does not load changes nothing."""

import signal
import time
from pathlib import Path

import pytest

from launcher.testing.hold import held
from launcher.testing.serving import wait_for

from .load import Load
from .uwsgi_site import REFUSED, Site, answer, in_uwsgi, ours, reload, versions, workers

pytestmark = pytest.mark.live

EITHER_WAY = pytest.mark.parametrize("preload", [False, True], ids=["loaded in workers", "preloaded"])


@pytest.mark.parametrize("count", [1, 2])
def test_a_reload_under_load_fails_nobody_and_lets_nobody_wait_for_an_import(count: int, tmp_path: Path) -> None:
    site = Site(tmp_path, import_s=2.5)
    with site.serving(workers=count, threads=8) as serving:
        with (
            Load(serving.address, 6, "/sleep?s=0.02") as brief,
            Load(serving.address, 2, "/sleep?s=0.5") as slow,
        ):
            site.write(2)
            reload(serving)
            assert versions(serving, 20) == {2}
        assert brief.failures + slow.failures == []
        assert max(brief.longest_s, slow.longest_s) < site.import_s
        assert len(workers(serving)) == count  # and nothing of ours beside them


@EITHER_WAY
def test_workers_of_one_thread_lose_nothing_that_they_accepted(preload: bool, tmp_path: Path) -> None:
    with Site(tmp_path).serving(workers=2, threads=1, preload=preload) as serving:
        with Load(serving.address, 4, "/") as load:
            for _ in range(4):
                reload(serving)
        assert load.failures == []


@EITHER_WAY
def test_an_old_worker_finishes_what_it_has_while_the_new_one_serves(preload: bool, tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(workers=1, preload=preload) as serving:
        _, old = answer(serving)
        client, hold = held(serving, tmp_path)
        site.write(2)
        serving.signal(signal.SIGHUP)
        for _ in range(3):
            wait_for(lambda: answer(serving)[0] == 2, "the new code")
        hold.release()
        assert client.answer().json()["pid"] == old
        client.close()
        wait_for(lambda: len(ours(serving)) == 2, "the end of the reload")
        assert len(workers(serving)) == 1


@pytest.mark.parametrize("threads", [1, 4])
def test_an_answer_to_a_slow_client_is_not_broken_off(threads: int, tmp_path: Path) -> None:
    size = 10_000_000
    with Site(tmp_path).serving(workers=1, threads=threads, client_timeout=30) as serving:
        with serving.client() as client:
            client.get(f"/large?bytes={size}")
            begun = client.sock.recv(1000)
            before = len(ours(serving))
            serving.signal(signal.SIGHUP)
            wait_for(lambda: len(workers(serving)) > 1, "the new worker")
            wait_for(lambda: serving.output.count(") ready in ") > 1, "the new worker to serve")
            assert len(begun + client.rest()) > size
        wait_for(lambda: len(ours(serving)) > before, "the end of the reload")
        assert "serve: reloaded" in ours(serving)[-1]


RAISES = "import nothing_of_the_kind", "nothing_of_the_kind, which does not exist (site_of_tests.py:4)"
ENDS = "os._exit(3)", "the process that imports it ended with status 3"


@pytest.mark.parametrize(
    ("before", "reason", "preload"),
    [(*RAISES, False), (*ENDS, False), (*RAISES, True)],
    ids=["raises", "ends the process", "raises, preloaded"],
)
def test_code_that_does_not_load_leaves_the_old_code_serving(
    before: str, reason: str, preload: bool, tmp_path: Path
) -> None:
    site = Site(tmp_path)
    with site.serving(workers=2, preload=preload) as serving:
        old = workers(serving, 1 if preload else 2, born=2)
        site.write(2, before)
        assert reason in reload(serving, REFUSED)
        assert "Traceback" not in serving.output
        assert answer(serving)[0] == 1
        wait_for(lambda: workers(serving) == old, "nothing but the old workers")
        site.write(3)
        reload(serving)
        assert answer(serving)[0] == 3


@pytest.mark.parametrize("end", ["raise ValueError('not here')", "os._exit(3)"], ids=["raises", "ends the process"])
def test_code_that_fails_in_a_worker_alone_leaves_the_old_code_serving(end: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(workers=2) as serving:
        old = workers(serving, 2)
        site.write(2, in_uwsgi(end))
        serving.signal(signal.SIGHUP)
        wait_for(lambda: f"{REFUSED}the new worker did not" in serving.output, "it")
        wait_for(lambda: workers(serving) == old, "nothing but the old workers")
        assert answer(serving)[0] == 1
        site.write(3)
        reload(serving)
        assert answer(serving)[0] == 3


def test_a_signal_during_a_reload_is_not_lost(tmp_path: Path) -> None:
    site = Site(tmp_path, import_s=0.5)
    with site.serving(workers=2) as serving:
        site.write(2)
        serving.signal(signal.SIGHUP)
        wait_for(lambda: answer(serving)[0] == 2, "the first of the new workers")
        site.write(3)
        serving.signal(signal.SIGHUP)
        wait_for(lambda: len(ours(serving)) == 3, "the end of both reloads")
        assert versions(serving) == {3}
        assert len(workers(serving)) == 2


def test_a_stop_during_a_reload_ends_everything(tmp_path: Path) -> None:
    site = Site(tmp_path, import_s=0.5)
    with site.serving(workers=2) as serving:
        site.write(2)
        serving.signal(signal.SIGHUP)
        wait_for(lambda: answer(serving)[0] == 2, "the first of the new workers")
        began = time.monotonic()
        serving.stop_cleanly()
        assert time.monotonic() - began < 10


def test_a_reload_brings_another_application(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (tmp_path / "other.py").write_text(
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'7 0']\n"
    )
    with site.serving(workers=2) as serving:
        workers(serving, 2)
        site.profile(app="other:app")
        reload(serving)
        assert versions(serving) == {7}


@EITHER_WAY
def test_a_worker_that_hangs_does_not_hold_up_a_reload_for_ever(preload: bool, tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(workers=1, graceful_timeout=1, preload=preload) as serving:
        client, _ = held(serving, tmp_path)
        site.write(2)
        reload(serving)
        assert answer(serving)[0] == 2
        client.close()
