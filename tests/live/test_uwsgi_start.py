"""uWSGI and an application that cannot be loaded: a start ends with status 4, a server that serves goes on."""

import os
import signal
import time
from pathlib import Path

import pytest

from launcher.testing.hold import held
from launcher.testing.serving import refused, wait_for

from .uwsgi_site import Site, answer, workers

pytestmark = pytest.mark.live


def bound_to(directory: Path, **options: object) -> dict[str, object]:
    socket, pid_file = str(directory / "s.sock"), str(directory / "main.pid")
    profile = {"app": "broken:app", "server": "uwsgi", "workers": 3, "bind": ["127.0.0.1:0", f"unix:{socket}"]}
    return {**profile, "pid_file": pid_file, "preload": False, **options}


KEPT = {"bind": ["127.0.0.1:0"], "keepalive": "5s"}


@pytest.mark.parametrize(
    "options", [{}, {"preload": True}, KEPT], ids=["loaded in workers", "preloaded", "behind a router"]
)
def test_a_start_that_cannot_load_ends_with_status_4_and_one_traceback(
    options: dict[str, object], tmp_path: Path
) -> None:
    broken = "import nothing_of_the_kind\n\ndef app(environ, start_response): ...\n"
    status, said = refused(tmp_path, bound_to(tmp_path, **options), files={"broken.py": broken})
    assert status == 4, said
    assert said.count("Traceback (most recent call last)") == 1, said
    assert said.count("ModuleNotFoundError: No module named 'nothing_of_the_kind'") == 1
    assert not list(tmp_path.glob("s.sock")) + list(tmp_path.glob("main.pid"))


def test_a_start_whose_import_ends_the_process_ends_with_status_4(tmp_path: Path) -> None:
    broken = "import os\nos._exit(0)\n\ndef app(environ, start_response): ...\n"
    status, said = refused(tmp_path, bound_to(tmp_path), files={"broken.py": broken})
    assert status == 4, said
    assert said.count("serve: a worker ended while it loaded the application.") == 1
    assert not list(tmp_path.glob("s.sock")) + list(tmp_path.glob("main.pid"))


def test_a_worker_that_cannot_be_replaced_leaves_the_others_serving(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(workers=2) as serving:
        first, second = workers(serving, 2)
        site.write(2, "import nothing_of_the_kind")
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: serving.output.count("nothing_of_the_kind, which does not exist") >= 3, "three attempts")
        assert {answer(serving) for _ in range(10)} == {(1, second)}
        site.write(3)
        wait_for(lambda: answer(serving)[0] == 3, "the worker that was repaired")


def test_workers_that_die_one_after_the_other_do_not_hold_up_the_stop(tmp_path: Path) -> None:
    """uWSGI would pause before it replaces one, and a worker that it starts after SIGTERM is never told to stop."""
    paused = "worker respawning too fast"
    with Site(tmp_path).serving(workers=1) as serving:
        for _ in range(8):
            (pid,) = wait_for(lambda: workers(serving), "a worker")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: pid not in workers(serving), "its end")
            wait_for(lambda: workers(serving) or paused in serving.output, "another")
            if paused in serving.output:
                break
        began = time.monotonic()
        serving.stop_cleanly()
        assert time.monotonic() - began < 10  # graceful_timeout is 30 s


def test_no_worker_outlives_the_main_process(tmp_path: Path) -> None:
    with Site(tmp_path).serving(workers=2) as serving:
        client, _ = held(serving, tmp_path)
        serving.process.kill()
        serving.wait()
        wait_for(lambda: not serving.tree(), "the end of the workers")
        client.close()
