"""The estimate of the time that is left, with a clock that the test turns."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.result import SplitCounts
from workers.runner.planner import Phase, Planner, rounds
from workers.runner.plans import BOOTSTRAP, PROPOSE, SEARCH, Situation, compile_phases

COUNTS = SplitCounts(train=70, val=60, test=40)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def _run(planner: Planner, clock: Clock, name: str, *, steps: int, seconds: float, units: float) -> list[float | None]:
    """Run a phase of equal steps and return the estimate after each."""
    planner.enter(name)
    estimates = []
    for _ in range(steps):
        clock.now += seconds
        planner.step(units)
        estimates.append(planner.eta_seconds())
    planner.leave()
    return estimates


def test_nothing_is_foretold_before_anything_was_done() -> None:
    planner = Planner(clock=Clock())
    planner.plan([Phase("baseline", 10)])

    assert planner.eta_seconds() is None
    assert planner.percent() is None


@given(
    latency=st.floats(min_value=0.01, max_value=30),
    lengths=st.lists(st.integers(min_value=1, max_value=50), min_size=2, max_size=6),
)
def test_an_even_pace_is_foretold_exactly_once_a_phase_is_done(latency: float, lengths: list[int]) -> None:
    clock = Clock()
    planner = Planner(clock=clock)
    planner.plan([Phase(str(number), length) for number, length in enumerate(lengths)])
    total = latency * sum(lengths)

    for number, length in enumerate(lengths):
        _run(planner, clock, str(number), steps=length, seconds=latency, units=1)
        eta = planner.eta_seconds()

        assert eta == pytest.approx(total - clock.now, rel=0.01, abs=0.1)


@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0, 4.0])
def test_a_wrong_plan_is_corrected_by_the_pace_of_the_running_phase(factor: float) -> None:
    clock = Clock()
    planner = Planner(clock=clock)
    planner.plan([Phase("baseline", 5), Phase("compile", 100), Phase("optimized", 5)])
    _run(planner, clock, "baseline", steps=5, seconds=1, units=1)
    total = 5 + 100 * factor + 5

    estimates = _run(planner, clock, "compile", steps=100, seconds=factor, units=1)

    after_a_third = [(5 + (step + 1) * factor, eta) for step, eta in enumerate(estimates) if 33 <= step < 90]
    for elapsed, eta in after_a_third:
        assert eta is not None
        assert 0.5 <= eta / (total - elapsed) <= 2


@given(share=st.floats(min_value=0, max_value=0.9), latency=st.floats(min_value=0.1, max_value=30))
def test_replayed_answers_tell_no_pace(share: float, latency: float) -> None:
    clock = Clock()
    planner = Planner(clock=clock)
    planner.plan([Phase("baseline", 10), Phase("compile", 100), Phase("optimized", 10)])
    replayed = int(share * 100)
    for name, steps in (("baseline", 10), ("compile", replayed)):
        planner.enter(name)
        for _ in range(steps):
            clock.now += 0.001
            planner.heard(True, 0.001)
            planner.step()

    for done in range(replayed, 99):
        clock.now += latency
        planner.heard(False, latency)
        planner.step()
        if done > replayed + 10:  # a tenth of the phase is enough to trust its pace
            assert planner.eta_seconds() == pytest.approx((100 - done - 1 + 10) * latency, rel=0.06, abs=0.2)


def test_nothing_is_foretold_while_everything_is_replayed() -> None:
    clock = Clock()
    planner = Planner(clock=clock)
    planner.plan([Phase("baseline", 4), Phase("optimized", 4)])
    planner.heard(True, 0.0)

    estimates = _run(planner, clock, "baseline", steps=4, seconds=0.01, units=1)

    assert estimates == [None] * 4
    assert _run(planner, clock, "optimized", steps=4, seconds=0.01, units=1) == [None] * 4
    assert (planner.eta_seconds(), planner.percent()) == (0.0, 100.0)


def test_what_was_worked_before_a_replay_still_counts() -> None:
    clock = Clock()
    planner = Planner(clock=clock)
    planner.plan([Phase("baseline", 10), Phase("compile", 20)])
    _run(planner, clock, "baseline", steps=10, seconds=2, units=1)
    planner.enter("compile")
    planner.heard(True, 0.0)
    clock.now += 50

    planner.step(10)

    assert planner.eta_seconds() == pytest.approx(20)


def test_the_wait_for_the_first_real_answer_is_no_replay() -> None:
    clock = Clock()
    planner = Planner(clock=clock)
    planner.plan([Phase("baseline", 2), Phase("optimized", 10)])
    planner.enter("baseline")
    planner.heard(True, 0.0)
    planner.step()
    clock.now += 5
    planner.heard(False, 3.0)
    planner.step()

    planner.leave()

    assert planner.eta_seconds() == pytest.approx(30)


def test_somebody_else_may_count_the_steps() -> None:
    clock = Clock()
    planner = Planner(clock=clock)
    planner.plan([Phase("compile", 50, steps=300)])
    planner.enter("compile")
    clock.now = 10
    planner.reach(100)

    assert planner.eta_seconds() == pytest.approx(20)
    assert planner.percent() == pytest.approx(100 / 3, abs=0.1)


def test_a_phase_that_outlasts_its_plan_still_ends_some_time() -> None:
    clock = Clock()
    planner = Planner(clock=clock)
    planner.plan([Phase("compile", 10)])

    estimates = _run(planner, clock, "compile", steps=40, seconds=1, units=1)

    assert estimates[-1] == pytest.approx(2)


def test_a_second_plan_keeps_what_has_begun() -> None:
    clock = Clock()
    planner = Planner(clock=clock)
    planner.plan([Phase("baseline", 4), Phase("compile", 1)])
    _run(planner, clock, "baseline", steps=4, seconds=1, units=1)

    planner.plan([Phase("compile", 8), Phase("optimized", 4)])

    assert [phase.name for phase in planner.phases] == ["baseline", "compile", "optimized"]
    assert planner.eta_seconds() == pytest.approx(12)


def test_an_unplanned_phase_is_counted_as_time_only() -> None:
    clock = Clock()
    planner = Planner(clock=clock)
    planner.plan([Phase("baseline", 4)])
    _run(planner, clock, "baseline", steps=4, seconds=1, units=1)

    planner.enter("compile")
    clock.now += 100

    assert planner.eta_seconds() == 0
    assert planner.current == "compile"


@pytest.mark.parametrize(("calls", "threads", "expected"), [(0, 8, 0), (1, 8, 1), (8, 8, 1), (9, 8, 2), (3, 1, 3)])
def test_calls_are_made_in_rounds(calls: int, threads: int, expected: int) -> None:
    assert rounds(calls, threads) == expected


def _phases(model: str, **more: object) -> dict[str, Phase]:
    situation = Situation(counts=COUNTS, threads=10, success=0.5, **more)  # type: ignore[arg-type]  # of Situation
    return {phase.name: phase for phase in compile_phases(model, situation)}  # type: ignore[arg-type]  # a literal


def test_a_bootstrap_goes_on_until_its_demos_are_found() -> None:
    phases = _phases("bootstrap", kwargs={"max_bootstrapped_demos": 6})

    assert [phase.units for phase in phases.values()] == [12]


def test_a_random_search_bootstraps_and_evaluates_every_candidate() -> None:
    phases = _phases("random_search", kwargs={"max_bootstrapped_demos": 4, "num_candidate_programs": 5})

    sizes = [4, *(random.Random(seed).randint(1, 4) for seed in range(5))]  # noqa: S311  # as DSPy draws them
    assert [phase.units for phase in phases.values()] == [2 * sum(sizes) + 8 * 6]


def test_mipro_light_has_ten_trials_and_its_full_evaluations() -> None:
    phases = _phases("mipro")

    assert list(phases) == [BOOTSTRAP, PROPOSE, SEARCH]
    assert phases[SEARCH].units == 10 * 4 + 3 * 6


def test_mipro_on_a_small_valset_evaluates_fully() -> None:
    counts = SplitCounts(train=20, val=30, test=10)
    situation = Situation(counts=counts, threads=10)

    search = next(phase for phase in compile_phases("mipro", situation) if phase.name == SEARCH)

    assert search.units == 11 * 3


def test_gepa_counts_by_its_own_budget() -> None:
    (phase,) = _phases("gepa", gepa_budget=600).values()

    assert phase.steps == 600
    assert 0 < phase.units < 600


@pytest.mark.parametrize("model", ["none", "metric_calls"])
def test_where_nothing_is_known_nothing_is_planned(model: str) -> None:
    assert _phases(model) == {}
