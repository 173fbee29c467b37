"""Histories of a supervisor: what happens, what it does, and when. No process is made."""

import signal
from collections.abc import Sequence

import pytest

from launcher.errors import Exit
from launcher.supervise.actions import (
    AbandonReload,
    Action,
    Adopt,
    Close,
    Discard,
    Drain,
    End,
    EndReload,
    GiveUp,
    Leave,
    Prove,
    Say,
    Start,
    Tell,
)
from launcher.supervise.crew import Crew
from launcher.supervise.terms import Terms

ONE = Terms()
SERVING = "app on 127.0.0.1:80"


class Story:
    """A crew with a clock, which says what is done besides what is said."""

    def __init__(self, terms: Terms = ONE) -> None:
        self.crew = Crew(terms, SERVING)
        self.now = 1000.0
        self.said: list[str] = []
        self.told: list[str] = []

    def begin(self) -> list[Action]:
        return self._seen(self.crew.begin(self.now))

    def ready(self, *workers: int) -> list[Action]:
        return [action for worker in workers for action in self._seen(self.crew.ready(worker, self.now))]

    def asks(self, worker: int, reason: str = "it is old") -> list[Action]:
        return self._seen(self.crew.asks(worker, reason, self.now))

    def leaves(self, *workers: int) -> list[Action]:
        return [action for worker in workers for action in self._seen(self.crew.leaves(worker, self.now))]

    def beat(self, worker: int) -> list[Action]:
        return self._seen(self.crew.beat(worker, self.now))

    def died(self, worker: int, status: int = 0) -> list[Action]:
        return self._seen(self.crew.died(worker, status, self.now))

    def hang_up(self) -> list[Action]:
        return self._seen(self.crew.hang_up(self.now))

    def proven(self, terms: Terms = ONE) -> list[Action]:
        return self._seen(self.crew.verdict(terms, "", self.now))

    def disproven(self, reason: str) -> list[Action]:
        return self._seen(self.crew.verdict(None, reason, self.now))

    def term(self) -> list[Action]:
        return self._seen(self.crew.stop(signal.SIGTERM, self.now))

    def interrupt(self) -> list[Action]:
        return self._seen(self.crew.stop(signal.SIGINT, self.now))

    def passes(self, seconds: float, sign: float | None = None) -> list[Action]:
        """Let time pass, with a tick whenever one is due; `sign` is how long ago a worker showed that it answers."""
        end = self.now + seconds
        done: list[Action] = []
        ticks = 0
        while (due := self.crew.next_tick()) is not None and due <= end:
            ticks += 1
            assert ticks < 1000, f"it wants a tick at {due} for ever"
            self.now = max(self.now, due)
            done += self._seen(self.crew.tick(self.now, 0.0 if sign is None else self.now - sign))
        self.now = end
        return done

    def serves(self, *workers: int) -> None:
        """Go through a good start."""
        self.begin()
        self.ready(*workers)

    def _seen(self, actions: Sequence[Action]) -> list[Action]:
        self.said += [action.text for action in actions if isinstance(action, Say | GiveUp)]
        self.told += [line for action in actions if isinstance(action, Tell) for line in action.lines]
        return [action for action in actions if not isinstance(action, Say | GiveUp | Tell)]


# Start


def test_start_is_ready_with_its_first_worker() -> None:
    story = Story(Terms(workers=2))
    assert story.begin() == [Start(1, 1), Start(2, 1)]
    assert story.told == []
    assert story.ready(2) == []
    assert story.told == ["READY=1", f"STATUS=serving {SERVING}"]
    assert story.ready(1) == []
    assert story.told.count("READY=1") == 1
    assert story.said == [f"serving {SERVING}"]


def test_start_that_takes_long_asks_for_time_while_that_makes_sense() -> None:
    story = Story()
    story.begin()
    story.passes(12)
    assert story.told.count("EXTEND_TIMEOUT_USEC=10000000") == 2
    story.ready(1)
    story.told.clear()
    story.passes(60)
    assert story.told == []


def test_start_that_never_ends_is_ended() -> None:
    story = Story()
    story.begin()
    assert story.passes(299) == []
    assert story.passes(1) == [End(1, "kill")]
    assert story.died(1, -9) == [Start(2, 1)]
    assert "was not ready after 300 s" in story.said[0]
    story.passes(600)
    assert story.told.count("EXTEND_TIMEOUT_USEC=10000000") == 59


@pytest.mark.parametrize("status", [Exit.TARGET, Exit.USAGE, 1, 0])
def test_first_failure_to_load_ends_the_service_with_its_status(status: int) -> None:
    story = Story(Terms(workers=3))
    story.begin()
    assert story.died(2, status) == [Close(), Discard(1), Discard(3)]
    assert story.died(1) == []
    # Nobody may take a start that failed for a clean end, or for findings.
    assert story.died(3) == [Leave(status if status > 1 else Exit.TARGET)]
    assert "STOPPING=1" in story.told
    assert [line for line in story.said if "giving up" in line] == ([] if status == Exit.TARGET else story.said)


def test_worker_that_is_killed_at_start_again_and_again_ends_the_service() -> None:
    story = Story()
    story.begin()
    born = []
    for worker in range(1, 5):
        begun = story.now
        done = story.died(worker, -signal.SIGSEGV) or story.passes(60)
        assert done == [Start(worker + 1, 1)]
        story.now = begun + (0 if worker == 1 else 0.1 * 2 ** (worker - 2))
        born.append(round(story.now - begun, 3))
    assert born == [0, 0.1, 0.2, 0.4]
    assert story.died(5, -signal.SIGSEGV) == [Close(), Leave(Exit.NOT_READY)]
    assert "worker 5 was ended by SIGSEGV before it was ready; 5 in a row did" in story.said[-1]


def test_worker_that_is_killed_at_start_ends_a_service_that_does_not_try_again() -> None:
    story = Story(Terms(most_deaths=1))
    story.begin()
    assert story.died(1, -signal.SIGKILL) == [Close(), Leave(Exit.NOT_READY)]


# Crashes


def test_worker_that_crashes_is_replaced_at_once() -> None:
    story = Story(Terms(workers=2))
    story.serves(1, 2)
    assert story.died(1, -signal.SIGKILL) == [Start(3, 1)]
    assert story.said[-1] == "worker 1 was ended by SIGKILL: another is started"


def test_workers_that_crash_one_after_another_are_replaced_ever_later() -> None:
    story = Story()
    story.serves(1)
    delays = []
    for worker in range(1, 1200):  # ten hours of them
        crashed = story.now
        if not story.died(worker, 1):
            while not story.passes(0.1):
                pass
        delays.append(story.now - crashed)
        story.ready(worker + 1)
    assert delays[0] == 0
    assert delays[:10] == sorted(delays[:10])
    assert 29 < delays[-1] < 31


def test_crash_after_a_steady_time_is_the_first_again() -> None:
    story = Story()
    story.serves(1)
    for worker in range(1, 6):
        story.passes(10)
        assert story.died(worker, 1) == [Start(worker + 1, 1)]
        story.ready(worker + 1)


def test_code_that_broke_meanwhile_does_not_end_a_service_that_still_answers() -> None:
    story = Story(Terms(workers=2))
    story.serves(1, 2)
    assert story.died(1, -signal.SIGKILL) == [Start(3, 1)]
    for worker in range(3, 10):
        assert not story.died(worker, Exit.TARGET)
        assert story.passes(30) == [Start(worker + 1, 1)]
    assert story.ready(10) == []


def test_code_that_broke_meanwhile_ends_a_service_that_does_not_answer() -> None:
    story = Story()
    story.serves(1)
    assert story.died(1, -signal.SIGKILL) == [Start(2, 1)]
    done: list[Action] = []
    for worker in range(2, 6):
        done = story.died(worker, Exit.TARGET) + story.passes(1)
    assert done == [Close(), Leave(Exit.TARGET)]


def test_worker_that_somebody_else_stops_is_replaced_while_it_finishes() -> None:
    story = Story()
    story.serves(1)
    assert story.leaves(1) == [Start(2, 1)]
    assert story.ready(2) == []
    assert story.died(1) == []


# Recycling


def test_worker_that_asks_goes_once_its_successor_is_ready() -> None:
    story = Story()
    story.serves(1)
    assert story.asks(1, "it has had 100 requests") == [Start(2, 1)]
    assert story.said[-1] == "worker 1 is replaced: it has had 100 requests"
    assert story.asks(1) == []
    assert story.ready(2) == [End(1, "retire")]
    assert story.leaves(1) == []
    assert story.died(1) == []


def test_workers_that_ask_together_are_replaced_one_after_another() -> None:
    story = Story(Terms(workers=3))
    story.serves(1, 2, 3)
    assert story.asks(1) == [Start(4, 1)]
    assert story.asks(2) == []
    assert story.asks(3) == []
    assert story.ready(4) == [End(1, "retire"), Start(5, 1)]
    assert story.ready(5) == [End(2, "retire"), Start(6, 1)]
    assert story.ready(6) == [End(3, "retire")]


def test_successor_that_dies_is_tried_again_and_nobody_goes() -> None:
    story = Story()
    story.serves(1)
    assert story.asks(1) == [Start(2, 1)]
    assert story.died(2, Exit.TARGET) == [Start(3, 1)]
    assert story.died(3, Exit.TARGET) == []
    assert story.passes(0.1) == [Start(4, 1)]
    assert story.ready(4) == [End(1, "retire")]


def test_worker_that_asked_and_crashed_has_its_successor_already() -> None:
    story = Story()
    story.serves(1)
    assert story.asks(1) == [Start(2, 1)]
    assert story.died(1, -signal.SIGKILL) == []
    assert story.ready(2) == []


def test_worker_that_does_not_end_is_killed() -> None:
    story = Story(Terms(graceful_timeout=30))
    story.serves(1)
    story.asks(1)
    story.ready(2)
    assert story.passes(34.9) == []
    assert story.passes(0.1) == [End(1, "kill")]
    assert "did not end in time" in story.said[-1]


# Signs of life


def test_silent_worker_is_killed_and_replaced() -> None:
    story = Story(Terms(workers=2, worker_timeout=10))
    story.serves(1, 2)
    story.passes(6)
    story.beat(1)
    assert story.passes(4) == [End(2, "kill")]
    assert "worker 2 has shown no sign of life for 10 s" in story.said[-1]
    assert story.died(2, -signal.SIGKILL) == [Start(3, 1)]


def test_worker_that_loads_is_not_silent() -> None:
    story = Story(Terms(worker_timeout=10))
    story.begin()
    assert story.passes(200) == []


def test_watchdog_is_fed_while_requests_are_answered() -> None:
    story = Story(Terms(watchdog=10))
    story.begin()
    story.passes(4, sign=0)
    story.ready(1)
    story.told.clear()
    story.passes(20, sign=1)
    assert story.told == ["WATCHDOG=1"] * 5
    story.told.clear()
    story.passes(20, sign=6)
    assert story.told == []


# Reload


def test_good_reload_replaces_all_workers_once_all_new_ones_are_ready() -> None:
    story = Story(Terms(workers=2))
    story.serves(1, 2)
    assert story.hang_up() == [Prove(2)]
    assert story.proven(Terms(workers=2)) == [Adopt(2), Start(3, 2), Start(4, 2)]
    assert story.ready(4) == []
    assert story.ready(3) == [End(1, "retire"), End(2, "retire")]
    # It is over when no old worker accepts any more, be it that it goes or that it is gone.
    assert story.leaves(1) == []
    assert story.died(2) == [EndReload("")]
    assert story.said[-1] == "reloaded: generation 2"
    assert story.died(1) == []
    assert story.died(3, -signal.SIGKILL) == [Start(5, 2)]


def test_bad_reload_changes_nothing() -> None:
    story = Story()
    story.serves(1)
    assert story.hang_up() == [Prove(2)]
    assert story.disproven("SyntaxError") == [EndReload("SyntaxError")]
    assert story.said[-1] == "reload refused, the old code goes on serving: SyntaxError"
    assert story.died(1, -signal.SIGKILL) == [Start(2, 1)]


def test_new_worker_that_dies_ends_the_reload_and_the_old_ones_stay() -> None:
    story = Story(Terms(workers=2))
    story.serves(1, 2)
    story.hang_up()
    assert story.proven(Terms(workers=2)) == [Adopt(2), Start(3, 2), Start(4, 2)]
    story.ready(3)
    reason = "a new worker 4 ended with status 4 before it was ready"
    assert story.died(4, 4) == [End(3, "retire"), EndReload(reason)]
    assert story.died(3) == []
    assert story.hang_up() == [Prove(2)]
    assert story.proven(Terms(workers=2)) == [Adopt(2), Start(5, 2), Start(6, 2)]
    assert story.ready(5, 6) == [End(1, "retire"), End(2, "retire")]
    assert story.leaves(1, 2) == [EndReload("")]


def test_new_worker_that_is_never_ready_ends_the_reload() -> None:
    story = Story()
    story.serves(1)
    story.hang_up()
    story.proven()
    assert story.passes(300) == [End(2, "kill")]
    assert story.died(2, -signal.SIGKILL) == [EndReload("a new worker 2 was ended by SIGKILL before it was ready")]


def test_old_worker_that_dies_while_new_ones_load_is_not_made_again() -> None:
    story = Story(Terms(workers=2))
    story.serves(1, 2)
    story.hang_up()
    story.proven(Terms(workers=2))
    assert story.died(1, -signal.SIGKILL) == []
    assert story.ready(3, 4) == [End(2, "retire")]
    assert story.leaves(2) == [EndReload("")]


def test_old_worker_that_died_is_made_again_after_a_reload_that_failed() -> None:
    story = Story(Terms(workers=2))
    story.serves(1, 2)
    story.hang_up()
    story.proven(Terms(workers=1))
    assert story.died(1, -signal.SIGKILL) == []
    done = story.died(3, 4)
    assert done == [EndReload("a new worker 3 ended with status 4 before it was ready"), Start(4, 1)]


def test_reload_may_change_the_number_of_workers_and_all_other_terms() -> None:
    story = Story(Terms(workers=1))
    story.serves(1)
    story.hang_up()
    assert story.proven(Terms(workers=3, worker_timeout=5)) == [Adopt(2), Start(2, 2), Start(3, 2), Start(4, 2)]
    assert story.ready(2, 3, 4) == [End(1, "retire")]
    assert story.leaves(1) == [EndReload("")]
    assert story.passes(5) == [End(2, "kill"), End(3, "kill"), End(4, "kill")]
    story = Story(Terms(workers=2))
    story.serves(1, 2)
    story.hang_up()
    assert story.proven(Terms(workers=1)) == [Adopt(2), Start(3, 2)]
    assert story.ready(3) == [End(1, "retire"), End(2, "retire")]
    assert story.leaves(1, 2) == [EndReload("")]


def test_reloads_asked_for_during_one_are_one_more_afterwards() -> None:
    story = Story()
    story.serves(1)
    assert story.hang_up() == [Prove(2)]
    assert story.hang_up() == []
    assert story.proven() == [Adopt(2), Start(2, 2)]
    assert story.hang_up() == []
    assert story.ready(2) == [End(1, "retire")]
    assert story.leaves(1) == [EndReload(""), Prove(3)]
    assert story.disproven("no") == [EndReload("no")]


def test_reload_asked_for_during_the_start_comes_after_it() -> None:
    story = Story()
    story.begin()
    assert story.hang_up() == []
    assert story.ready(1) == [Prove(2)]


def test_worker_that_asks_to_be_replaced_during_a_reload_goes_with_the_others() -> None:
    story = Story()
    story.serves(1)
    story.hang_up()
    assert story.asks(1) == [Start(2, 1)]
    assert story.proven() == [Adopt(2), Start(3, 2)]
    assert story.ready(2) == []
    assert story.ready(3) == [End(1, "retire"), End(2, "retire")]
    assert story.leaves(1, 2) == [EndReload("")]


# Stop


def test_term_lets_workers_finish() -> None:
    story = Story(Terms(workers=2))
    story.serves(1, 2)
    assert story.term() == [Drain(), Close(), End(1, "stop"), End(2, "stop")]
    assert story.told[-2:] == ["STOPPING=1", "STATUS=stopping"]
    assert story.said[-1] == "stopping on SIGTERM"
    assert story.died(1) == []
    assert story.died(2) == [Leave(0)]


def test_int_is_quick() -> None:
    story = Story(Terms(graceful_timeout=60))
    story.serves(1)
    assert story.interrupt() == [Drain(), Close(), End(1, "quick")]
    assert story.passes(5.9) == []
    assert story.passes(0.1) == [End(1, "kill")]
    assert story.died(1, -signal.SIGKILL) == [Leave(0)]


def test_term_does_not_wait_for_ever() -> None:
    story = Story(Terms(graceful_timeout=60))
    story.serves(1)
    story.term()
    assert story.passes(65) == [End(1, "kill")]
    assert story.died(1, -signal.SIGKILL) == [Leave(0)]


def test_second_signal_ends_at_once() -> None:
    story = Story(Terms(workers=2))
    story.serves(1, 2)
    story.term()
    assert story.term() == [End(1, "kill"), End(2, "kill")]
    assert story.died(1, -9) == []
    assert story.passes(1) == [Leave(0)]


def test_term_during_the_start() -> None:
    story = Story(Terms(workers=2))
    story.begin()
    assert story.term() == [Drain(), Close(), Discard(1), Discard(2)]
    assert story.ready(1) == []
    assert story.died(1) == []
    assert story.died(2, 4) == [Leave(0)]
    assert "READY=1" not in story.told


def test_term_during_a_reload() -> None:
    story = Story()
    story.serves(1)
    story.hang_up()
    assert story.term() == [Drain(), AbandonReload(), Close(), End(1, "stop")]
    assert story.proven() == []
    assert story.died(1) == [Leave(0)]


def test_term_while_new_workers_load() -> None:
    story = Story()
    story.serves(1)
    story.hang_up()
    story.proven()
    done = story.term()
    assert done[:2] == [Drain(), AbandonReload()]
    assert done[2:] == [Close(), Discard(2), End(1, "stop")]
    assert story.died(2) == []
    assert story.died(1) == [Leave(0)]


def test_term_while_some_new_workers_are_ready() -> None:
    """Nobody is left to whom they could leave what the kernel has accepted."""
    story = Story(Terms(workers=2))
    story.serves(1, 2)
    story.hang_up()
    story.proven(Terms(workers=2))
    story.ready(3)
    assert story.term()[2:] == [Close(), Discard(4), End(1, "stop"), End(2, "stop"), End(3, "stop")]


def test_drain_delay_goes_on_serving_while_balancers_learn() -> None:
    story = Story(Terms(drain_delay=10))
    story.serves(1)
    assert story.term() == [Drain()]
    assert story.told[-2:] == ["STOPPING=1", "STATUS=stopping"]
    assert story.passes(5) == []
    assert story.died(1, -signal.SIGKILL) == [Start(2, 1)]
    story.ready(2)
    assert story.hang_up() == []
    assert story.passes(5) == [Close(), End(2, "stop")]


def test_second_term_cuts_the_drain_delay_short() -> None:
    story = Story(Terms(drain_delay=10))
    story.serves(1)
    assert story.term() == [Drain()]
    assert story.term() == [Close(), End(1, "stop")]
    assert story.term() == [End(1, "kill")]


def test_int_knows_no_drain_delay() -> None:
    story = Story(Terms(drain_delay=10))
    story.serves(1)
    assert story.interrupt() == [Drain(), Close(), End(1, "quick")]
