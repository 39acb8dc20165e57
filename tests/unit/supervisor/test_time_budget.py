"""Running time against a limit and a budget."""

import asyncio
from types import SimpleNamespace

import pytest

from workers.supervisor.clock import RunningClock
from workers.supervisor.time_budget import TimeBudget


class Hand:
    """A clock that a test moves, and what the budget asked for."""

    def __init__(self, **bounds: float) -> None:
        self.clock = SimpleNamespace(seconds=0.0)
        self.budget = TimeBudget(self.clock, **{"job_seconds": 1000.0, **bounds})
        self.budget.begin_running()
        self.stopped: list[str] = []

    def _stop(self, phase: str) -> None:
        self.stopped.append(phase)

    @property
    def stops(self) -> int:
        return len(self.stopped)

    def at(self, seconds: float) -> str | None:
        """Return why it ends at that second."""
        self.clock.seconds = seconds
        ending = self.budget.look(self._stop)
        return None if ending is None else ending.reason

    def begin(self, phase: str, seconds: float) -> None:
        self.clock.seconds = seconds
        self.budget.begin(phase)


def test_the_operators_limit_ends_an_attempt_without_a_warning() -> None:
    hand = Hand(job_seconds=10.0)
    hand.begin("compile", 1)

    assert [hand.at(9.9), hand.at(10)] == [None, "time_limit"]
    assert hand.stops == 0
    assert not hand.budget.is_spent


def test_a_runner_is_told_once_to_stop_when_only_the_reserve_is_left() -> None:
    hand = Hand(max_seconds=100.0)
    hand.begin("baseline", 2)
    hand.begin("compile", 10)
    hand.at(88.9)
    before = hand.stops, hand.budget.is_spent

    hand.at(89)  # left are a second, and five quarters of what the baseline took
    hand.at(95)

    assert before == (0, False)
    assert (hand.stops, hand.budget.is_spent) == (1, True)


def test_where_no_program_is_to_be_had_early_all_time_may_be_spent_on_the_compile() -> None:
    hand = Hand(max_seconds=100.0, keeps_reserve=False)
    hand.begin("compile", 10)

    assert [hand.at(99.9), hand.at(100)] == [None, "budget_exhausted"]
    assert hand.stops == 0


def test_all_time_used_is_the_end() -> None:
    hand = Hand(max_seconds=100.0)

    assert [hand.at(99.9), hand.at(100)] == [None, "budget_exhausted"]
    assert hand.budget.is_spent


def test_the_time_of_earlier_attempts_counts() -> None:
    hand = Hand(max_seconds=100.0, spent_seconds=95.0)

    assert [hand.at(4.9), hand.at(5)] == [None, "budget_exhausted"]


def test_what_comes_before_running_counts_for_the_operator_alone() -> None:
    clock = SimpleNamespace(seconds=0.0)
    budget = TimeBudget(clock, job_seconds=200.0, max_seconds=100.0)
    told: list[str] = []

    clock.seconds = 150.0
    before = budget.look(told.append), budget.running_seconds
    budget.begin_running()
    clock.seconds = 199.9
    running = budget.look(told.append), budget.running_seconds
    clock.seconds = 200.0
    ending = budget.look(told.append)

    assert before == (None, 0.0)
    assert running == (None, pytest.approx(49.9))
    assert ending is not None
    assert ending.reason == "time_limit"


def test_the_final_evaluation_may_use_the_reserve() -> None:
    hand = Hand(max_seconds=100.0)
    hand.begin("baseline", 0)
    hand.begin("compile", 20)
    hand.begin("final", 70)

    hand.at(99.4)

    assert hand.stops == 0


def test_the_final_evaluation_is_ended_in_time_to_send_the_program() -> None:
    hand = Hand(max_seconds=100.0, keeps_reserve=False)
    hand.begin("compile", 20)
    hand.begin("final", 95)
    hand.at(99.5)
    hand.at(99.6)

    assert hand.stopped == ["final"]
    assert hand.budget.is_spent


def test_both_the_compile_and_the_final_evaluation_may_have_to_end() -> None:
    hand = Hand(max_seconds=100.0, reserve_seconds=10.0)
    hand.begin("compile", 20)
    hand.at(87)
    hand.begin("final", 87)
    hand.at(88)
    hand.at(99.9)

    assert hand.stopped == ["compile", "final"]


@pytest.mark.parametrize(("earlier", "stopped_at"), [(40.0, 49.0), (1.0, 89.0)])
def test_the_reserve_is_the_longest_baseline_since_a_replayed_one_takes_no_time(
    earlier: float, stopped_at: float
) -> None:
    hand = Hand(max_seconds=100.0, reserve_seconds=earlier)
    hand.begin("baseline", 0)
    hand.begin("compile", 8)
    hand.at(stopped_at - 0.1)
    before = hand.stops

    hand.at(stopped_at)

    assert (before, hand.stops) == (0, 1)


def test_a_baseline_is_never_told_to_stop() -> None:
    hand = Hand(max_seconds=100.0, reserve_seconds=50.0)
    hand.begin("baseline", 0)

    hand.at(99)

    assert hand.stops == 0


@pytest.mark.parametrize(
    ("bounds", "look_seconds"),
    [
        ({"max_seconds": 100.0}, 0.04),
        ({"max_seconds": 150.0, "spent_seconds": 50.0}, 0.04),
        ({"job_seconds": 99.97}, 0.01),
        ({"max_seconds": 200.0}, 0.1),
        ({"max_seconds": 99.0}, 0.001),
    ],
)
def test_a_limit_that_is_near_is_looked_at_in_time(bounds: dict[str, float], look_seconds: float) -> None:
    hand = Hand(**bounds)
    hand.clock.seconds = 99.96

    assert hand.budget.next_look_seconds == pytest.approx(look_seconds)


async def test_it_looks_by_itself() -> None:
    clock = RunningClock()
    clock.go_on()
    budget = TimeBudget(clock, job_seconds=0.15)

    ending = await asyncio.wait_for(budget.run(lambda _phase: None), timeout=5)

    assert ending.reason == "time_limit"
    assert clock.seconds >= 0.15


async def test_a_clock_counts_only_while_it_goes() -> None:
    loop = asyncio.get_running_loop()
    clock = RunningClock()
    stood_still_since = loop.time()
    while loop.time() - stood_still_since < 0.02:  # noqa: ASYNC110  # it is time that the test waits for
        await asyncio.sleep(0.005)
    before = clock.seconds

    clock.go_on()
    clock.go_on()
    while clock.seconds < 0.01:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.005)
    clock.stop()
    clock.stop()
    counted = clock.seconds
    stood_still_since = loop.time()
    while loop.time() - stood_still_since < 0.02:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.005)

    assert before == 0.0
    assert clock.seconds == counted >= 0.01


async def test_a_clock_that_is_over_never_goes_again() -> None:
    clock = RunningClock()
    clock.go_on()
    while clock.seconds == 0.0:  # noqa: ASYNC110  # it is time that the test waits for
        await asyncio.sleep(0.001)

    clock.end()
    counted = clock.seconds
    clock.go_on()
    await asyncio.sleep(0.002)

    assert clock.seconds == counted > 0
