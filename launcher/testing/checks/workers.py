"""How many work, and at how much at a time."""

from collections.abc import Mapping
from typing import Any

from ..client import Client
from ..hold import held
from ..kit import Check, Kit
from ..serving import Serving, same, wait_for

NOTHING_S = 0.4
"""How long a check watches that something does not happen."""

ONE_WORKER: Mapping[str, Any] = {"workers": 1}


def so_many_workers_answer(kit: Kit) -> None:
    with kit.serve({"threads": 1}) as serving:
        pids = distinct_pids(serving, kit, 2)
        assert pids <= set(serving.tree()), f"{pids} are not among {serving.tree()}"
        assert not any(pid == serving.pid for pid in pids), "the main process answers too"
        assert {serving.report()["pid"] for _ in range(20)} <= pids, "there is a third worker"


def distinct_pids(serving: Serving, kit: Kit, count: int) -> set[int]:
    """Return the workers that answer while the one which answered before is kept busy."""
    client, hold = held(serving, kit.public)
    waiting: list[Client] = []
    try:
        pids = set()

        def answered_by_another() -> bool:
            # A server may have queued it with the busy worker: that answer comes later.
            other = serving.client()
            waiting.append(other)
            other.get("/", "Connection: close")
            if other.silent_for(NOTHING_S):
                return False
            pids.add(other.answer().json()["pid"])
            return len(pids) == count - 1

        wait_for(answered_by_another, "an answer of another worker")
        hold.release()
        pids.add(client.answer().json()["pid"])
    finally:
        for each in (client, *waiting):
            each.close()
    assert len(pids) == count, f"{pids} answered"
    return pids


def so_many_requests_overlap_in_one_worker(kit: Kit) -> None:
    with kit.serve(ONE_WORKER) as serving:
        inside = [held(serving, kit.public) for _ in range(3)]
        with serving.client() as fourth:
            fourth.get("/", "Connection: close")
            assert fourth.silent_for(NOTHING_S), "a fourth request was answered while three threads were busy"
            pids = set()
            for client, hold in inside:
                hold.release()
                with client:
                    pids.add(client.answer().json()["pid"])
            assert len(pids) == 1, f"several processes: {pids}"
            same({fourth.answer().json()["pid"]}, pids, "who answered the fourth")


def further_connections_wait(kit: Kit) -> None:
    with kit.serve({**ONE_WORKER, "threads": 2, "client_timeout": "60s", "keepalive": "60s"}) as serving:
        silent = [serving.client() for _ in range(3)]
        with serving.client() as fourth:
            fourth.get("/", "Connection: close")
            assert fourth.silent_for(NOTHING_S), "a fourth connection was served"
            silent.pop().close()
            same(fourth.answer().status, 200, "status on the fourth connection")
        for client in silent:
            with client:
                same(client.ask("/", "Connection: close").status, 200, "status on a connection that was silent")


def application_is_loaded(kit: Kit, *, preload: bool) -> None:
    """The marks of two workers that have both answered: one import before the fork, or one in each."""
    marks = kit.public / "imports"
    files = {
        "marked.py": (
            "import os\n\nfrom launcher.testing.application import app\n\n"
            f'with open({str(marks)!r}, "a") as file:\n    file.write(f"{{os.getpid()}}\\n")\n'
        )
    }
    with kit.serve({"workers": 2, "threads": 1}, asks={**kit.asks, "app": "marked:app"}, files=files) as serving:
        if kit.how("workers") == "impossible":
            same(loads(marks), [serving.report()["pid"]], "who loaded it")
            return
        pids = distinct_pids(serving, kit, 2)
        found = loads(marks)
        if preload:
            assert len(found) == 1, f"loaded by {found}"
            assert found[0] not in pids, "loaded by a worker"
        else:
            assert sorted(found) == sorted(pids), f"loaded by {found}, answered by {pids}"


def application_is_loaded_once(kit: Kit) -> None:
    application_is_loaded(kit, preload=True)


def every_worker_loads_the_application(kit: Kit) -> None:
    application_is_loaded(kit, preload=False)


def loads(marks: Any) -> list[int]:
    return [int(line) for line in marks.read_text().split()]


CHECKS = (
    Check("workers", {"workers": 2}, so_many_workers_answer),
    Check("threads", {"threads": 3}, so_many_requests_overlap_in_one_worker),
    Check("max-connections", {"max_connections": 3}, further_connections_wait),
    Check("preload", {"preload": True}, application_is_loaded_once),
    Check("preload-off", {"preload": False}, every_worker_loads_the_application),
)
