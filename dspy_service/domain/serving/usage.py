"""What serving costs, in whole numbers that are added up: by program, version, key and UTC day."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from dspy_service.domain.call_counts import NANOS_PER_USD, CallCount, CallCounts, CallFigure
from dspy_service.domain.result import RoleUsage, Usage
from dspy_service.domain.serving.run import RunStatus


class UsageFigure(StrEnum):
    """What is counted when a run ends. The first four are runs, by how they ended."""

    COMPLETED = RunStatus.COMPLETED
    INCOMPLETE = RunStatus.INCOMPLETE
    FAILED = RunStatus.FAILED
    CANCELLED = RunStatus.CANCELLED
    CALLS = "calls"
    CACHED_CALLS = "cached_calls"
    FAILED_CALLS = "failed_calls"
    ESTIMATED_CALLS = "estimated_calls"
    UNPRICED_CALLS = "unpriced_calls"
    PROMPT_TOKENS = "prompt_tokens"
    COMPLETION_TOKENS = "completion_tokens"
    COST_NANO_USD = "cost_nano_usd"


UsageFigures = Mapping[UsageFigure, int]
"""Whole numbers, so that sums of many stay exact; what is not there is 0."""

RUN_FIGURES: Final = (UsageFigure.COMPLETED, UsageFigure.INCOMPLETE, UsageFigure.FAILED, UsageFigure.CANCELLED)

SERVING_ROLE: Final = "serving"
"""The role under which calls of served programs stand among the counters of all calls."""

_CALL_FIGURES: Final = {
    UsageFigure.CALLS: CallFigure.ANSWERED,
    UsageFigure.CACHED_CALLS: CallFigure.SHARED,
    UsageFigure.FAILED_CALLS: CallFigure.FAILED,
    UsageFigure.ESTIMATED_CALLS: CallFigure.ESTIMATED,
    UsageFigure.UNPRICED_CALLS: CallFigure.UNPRICED,
    UsageFigure.PROMPT_TOKENS: CallFigure.INPUT_TOKENS,
    UsageFigure.COMPLETION_TOKENS: CallFigure.OUTPUT_TOKENS,
    UsageFigure.COST_NANO_USD: CallFigure.COST_NANO_USD,
}


@dataclass(frozen=True)
class UsageEntry:
    """What one version of a program cost on one day, called with one key."""

    day: date
    """By UTC, of the ends of the runs."""
    program: str
    version: int
    key_id: str | None
    """None in open mode."""
    figures: UsageFigures


def figures_of(usage: Usage | None) -> dict[UsageFigure, int]:
    """Return what the model calls of one run came to; only what is not 0.

    Money is rounded to a billionth of a US dollar, once for each run.
    """
    figures: dict[UsageFigure, int] = {}
    for role in usage.roles.values() if usage is not None else ():
        for figure, count in _of_role(role):
            if count:
                figures[figure] = figures.get(figure, 0) + count
    return figures


def _of_role(role: RoleUsage) -> Iterator[tuple[UsageFigure, int]]:
    yield UsageFigure.CALLS, role.calls
    yield UsageFigure.CACHED_CALLS, role.cached_calls + role.shared_cache_calls
    yield UsageFigure.FAILED_CALLS, role.failed_calls
    yield UsageFigure.ESTIMATED_CALLS, role.estimated_calls
    yield UsageFigure.UNPRICED_CALLS, role.calls if role.cost_usd is None else 0
    yield UsageFigure.PROMPT_TOKENS, role.prompt_tokens
    yield UsageFigure.COMPLETION_TOKENS, role.completion_tokens
    yield UsageFigure.COST_NANO_USD, round((role.cost_usd or 0) * NANOS_PER_USD)


def call_counts(totals: UsageFigures) -> CallCounts:
    """Return the calls of served programs as they stand among the counters of all calls; empty before the first one."""
    return {
        CallCount(figure, SERVING_ROLE): totals[counted]
        for counted, figure in _CALL_FIGURES.items()
        if counted in totals
    }
