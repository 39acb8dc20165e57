"""Which reasons a runner may give."""

import pytest

from dspy_service.domain.budget import Budget
from workers.supervisor.reasons import accepted, may_be_spent


@pytest.mark.parametrize(
    ("told", "budget", "is_seen", "reason"),
    [
        ("completed", None, False, "completed"),
        (None, None, False, "completed"),
        (["completed"], None, False, "completed"),
        ("cancelled", Budget(), True, "completed"),
        ("target_reached", None, False, "completed"),
        ("target_reached", Budget(patience=3), False, "completed"),
        ("target_reached", Budget(stop_at_score=0.0), False, "target_reached"),
        ("no_improvement", Budget(stop_at_score=1.0), False, "completed"),
        ("no_improvement", Budget(patience=3), False, "no_improvement"),
        ("budget_exhausted", None, False, "completed"),
        ("budget_exhausted", Budget(max_usd=1), False, "completed"),
        ("budget_exhausted", Budget(max_usd=1), True, "budget_exhausted"),
        ("budget_exhausted", Budget(max_metric_calls=1), False, "budget_exhausted"),
    ],
)
def test_a_reason_counts_when_the_budget_asked_for_it_or_we_saw_it(
    told: object, budget: Budget | None, *, is_seen: bool, reason: str
) -> None:
    assert accepted(told, budget, is_seen=is_seen) == reason


@pytest.mark.parametrize(
    ("budget", "is_seen", "may_be"),
    [
        (None, False, False),
        (None, True, True),
        (Budget(max_lm_calls=1), False, False),
        (Budget(max_metric_calls=1), False, True),
    ],
)
def test_a_budget_may_be_spent_when_we_saw_it_or_cannot_know(
    budget: Budget | None, *, is_seen: bool, may_be: bool
) -> None:
    assert may_be_spent(budget, is_seen=is_seen) is may_be
