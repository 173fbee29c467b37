"""uWSGI whose workers die, or cannot load the application."""

import os
import signal
import time
from pathlib import Path

import pytest

from launcher.testing.serving import wait_for

from .uwsgi_site import Site, answer, workers

pytestmark = pytest.mark.live


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
    with Site(tmp_path).serving(workers=1) as serving:
        for _ in range(8):
            _, pid = answer(serving)
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        serving.stop_cleanly()
        assert time.monotonic() - began < 5  # graceful_timeout is 30 s
