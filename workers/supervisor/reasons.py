"""Which reasons for its end a runner may give: those that its job's budget asked for, or that we have seen."""

from dspy_service.domain.budget import Budget
from dspy_service.domain.job import TerminationReason
from workers.supervisor.ending import BUDGET_EXHAUSTED


def may_be_spent(budget: Budget | None, *, is_seen: bool) -> bool:
    """Whether a runner may say that the budget was spent.

    Args:
        budget: Of the job.
        is_seen: Whether a model call was refused, or the runner told to stop. Only the runner counts metric calls.
    """
    return is_seen or (budget is not None and budget.max_metric_calls is not None)


def accepted(told: object, budget: Budget | None, *, is_seen: bool) -> TerminationReason:
    """Return the reason that a success gets; what a runner had no ground to say is ``completed``."""
    asked = budget or Budget()
    if told == "target_reached" and asked.stop_at_score is not None:
        return "target_reached"
    if told == "no_improvement" and asked.patience is not None:
        return "no_improvement"
    if told == BUDGET_EXHAUSTED and may_be_spent(budget, is_seen=is_seen):
        return BUDGET_EXHAUSTED
    return "completed"
