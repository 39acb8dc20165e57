"""Reads off what one attempt's calls came to, as counters for operators."""

from collections.abc import Collection
from itertools import chain

from dspy_service.domain.call_counts import NANOS_PER_USD, CallCount, CallCounts, CallFigure
from workers.lm.engine import MeteredEngine
from workers.lm.meter import Meter, RoleMeter


def count_calls(meter: Meter, engines: Collection[MeteredEngine]) -> CallCounts:
    """Return all counters as they stand; what the meter has of earlier attempts is in them."""
    by_role = chain.from_iterable(_of_role(role, each).items() for role, each in meter.roles.items())
    return {
        **dict(by_role),
        CallCount(CallFigure.RATE_LIMITS): sum(engine.rate_limits for engine in engines),
        CallCount(CallFigure.WAITED_MILLISECONDS): round(1000 * sum(engine.waited_seconds for engine in engines)),
    }


def _of_role(role: str, meter: RoleMeter) -> CallCounts:
    paid = meter.paid
    counts = {
        CallFigure.ANSWERED: paid.calls,
        CallFigure.REPLAYED: meter.replayed_calls,
        CallFigure.REPEATED: meter.cached_calls,
        CallFigure.SHARED: meter.shared_cache_calls,
        CallFigure.FAILED: meter.failed_calls,
        CallFigure.OVER_BUDGET: meter.refused_calls,
        CallFigure.INPUT_TOKENS: paid.prompt_tokens,
        CallFigure.OUTPUT_TOKENS: paid.completion_tokens,
        CallFigure.COST_NANO_USD: round(NANOS_PER_USD * paid.usd),
        CallFigure.UNPRICED: paid.unpriced_calls,
        CallFigure.ESTIMATED: paid.estimated_calls,
    }
    return {CallCount(figure, role): count for figure, count in counts.items()}
