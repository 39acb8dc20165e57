"""What a run's model calls come to, in whole numbers."""

import pytest

from dspy_service.domain.call_counts import CallCount, CallFigure
from dspy_service.domain.result import RoleUsage, Usage
from dspy_service.domain.serving.run import TERMINAL_RUNS
from dspy_service.domain.serving.usage import RUN_FIGURES, UsageFigure, call_counts, figures_of
from tests.support.usage_samples import a_usage


def test_every_way_to_end_has_a_figure() -> None:
    assert {figure.value for figure in RUN_FIGURES} == {status.value for status in TERMINAL_RUNS}


def test_the_calls_of_all_roles_are_added_up() -> None:
    task = RoleUsage(model="a", calls=2, cached_calls=1, shared_cache_calls=4, prompt_tokens=20, cost_usd=0.25)
    judge = RoleUsage(model="b", calls=3, failed_calls=1, estimated_calls=2, completion_tokens=7, cost_usd=0.5)

    figures = figures_of(Usage(roles={"task": task, "judge": judge}))

    assert figures == {
        UsageFigure.CALLS: 5,
        UsageFigure.CACHED_CALLS: 5,
        UsageFigure.FAILED_CALLS: 1,
        UsageFigure.ESTIMATED_CALLS: 2,
        UsageFigure.PROMPT_TOKENS: 20,
        UsageFigure.COMPLETION_TOKENS: 7,
        UsageFigure.COST_NANO_USD: 750_000_000,
    }


@pytest.mark.parametrize(
    ("cost_usd", "nanos"), [(0.1, 100_000_000), (4.5e-7, 450), (1 / 3, 333_333_333), (2e-10, None)]
)
def test_money_is_rounded_to_a_billionth(cost_usd: float, nanos: int | None) -> None:
    assert figures_of(a_usage(cost_usd=cost_usd)).get(UsageFigure.COST_NANO_USD) == nanos


def test_calls_without_a_price_are_counted_as_such() -> None:
    figures = figures_of(a_usage(calls=3, cost_usd=None))

    assert figures[UsageFigure.UNPRICED_CALLS] == 3
    assert UsageFigure.COST_NANO_USD not in figures


def test_a_run_that_told_nothing_cost_nothing() -> None:
    assert figures_of(None) == {}
    assert figures_of(Usage()) == {}


def test_calls_of_served_programs_are_a_role_of_their_own_among_all_calls() -> None:
    counts = call_counts({UsageFigure.COMPLETED: 2, UsageFigure.CALLS: 3, UsageFigure.COST_NANO_USD: 5})

    assert counts == {
        CallCount(CallFigure.ANSWERED, "serving"): 3,
        CallCount(CallFigure.COST_NANO_USD, "serving"): 5,
    }
