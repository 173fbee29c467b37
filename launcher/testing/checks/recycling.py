"""When workers are replaced, without anybody noticing."""

import time

from ..kit import Check, Kit
from ..serving import Serving, same, wait_for
from .timeouts import EARLY_S

ONE = {"workers": 1, "threads": 1}


def assert_replaced(serving: Serving, after: int) -> None:
    """Insist that the first worker answers so many requests, and another the later ones; none may fail."""
    first = serving.report()["pid"]
    # The start has asked once already.
    for number in range(3, after + 1):
        same(serving.report()["pid"], first, f"who answers request {number}")
    # A good server starts the next worker first, and lets the old one answer until then.
    wait_for(lambda: serving.report()["pid"] != first, "another worker")
    wait_for(lambda: first not in serving.tree(), "the first worker to end")
    serving.report()


def worker_is_replaced_after_so_many(kit: Kit) -> None:
    with kit.serve(ONE) as serving:
        assert_replaced(serving, after=5)


def worker_is_replaced_a_little_later(kit: Kit) -> None:
    """Nobody can see how many more it were to be; only that they are not fewer, and not endless."""
    with kit.serve(ONE) as serving:
        assert_replaced(serving, after=4)


def old_worker_is_replaced(kit: Kit) -> None:
    with kit.serve(ONE) as serving:
        first = serving.report()["pid"]
        wait_for(lambda: serving.report()["pid"] != first, "another worker")
        age = time.monotonic() - serving.started
        assert age >= 2.0 - EARLY_S, f"it was replaced at the age of {age:.2f} s"


def fat_worker_is_replaced(kit: Kit) -> None:
    with kit.serve(ONE) as serving:
        first = serving.report("/process")
        assert first["rss_kib"] < 150 * 1024, "the application is too large for this check"
        for _ in range(5):
            assert serving.report("/process")["pid"] == first["pid"], "a slim worker was replaced"
        serving.report(f"/allocate?bytes={250 * 2**20}")
        wait_for(lambda: serving.report()["pid"] != first["pid"], "a slim worker")
        wait_for(lambda: first["pid"] not in serving.tree(), "the fat worker to end")
        assert serving.report("/process")["rss_kib"] < 150 * 1024, "the new worker is not slim"


CHECKS = (
    Check("max-requests", {"max_requests": 5}, worker_is_replaced_after_so_many),
    Check("max-requests-jitter", {"max_requests": 4, "max_requests_jitter": 3}, worker_is_replaced_a_little_later),
    Check("max-worker-age", {"max_worker_age": "2s"}, old_worker_is_replaced),
    Check("max-worker-memory", {"max_worker_memory": "200MiB"}, fat_worker_is_replaced),
)
