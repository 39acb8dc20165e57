"""What runs cost, and what the store has counted."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from dspy_service.domain.result import RoleUsage, Usage
from dspy_service.domain.serving.run import NewRun, Run, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import UsageCounted
from dspy_service.domain.serving.usage import UsageEntry, UsageFigure
from dspy_service.ports.serving.runs import RunStore
from tests.support.run_samples import a_new_run, in_progress

FREE = {UsageFigure.CACHED_CALLS: 1}
"""What ``a_usage(calls=0, cached=1)`` adds."""


def a_usage(*, calls: int = 1, cached: int = 0, cost_usd: float | None = 0.001) -> Usage:
    """Return the usage of a run whose calls take ten tokens and give three each."""
    if not calls:
        return Usage(roles={"task": RoleUsage(model="m", shared_cache_calls=cached)}, cache_hit_rate=1.0)
    role = RoleUsage(
        model="m",
        calls=calls,
        shared_cache_calls=cached,
        prompt_tokens=10 * calls,
        completion_tokens=3 * calls,
        cost_usd=cost_usd,
    )
    unpriced = [] if cost_usd is not None else ["m"]
    return Usage(
        roles={"task": role},
        total_calls=calls,
        total_tokens=13 * calls,
        cost_usd=cost_usd,
        unpriced_models=unpriced,
    )


def told(usage: Usage) -> UsageCounted:
    return UsageCounted(usage=usage)


def ends(status: RunStatus = RunStatus.COMPLETED, usage: Usage | None = None) -> RunOutcome:
    return RunOutcome(status=status, usage=usage)


def a_run_of(program: str = "qa", version: int = 1, *, key_id: str | None = None, tenant: str = "local") -> NewRun:
    return a_new_run(tenant=tenant).model_copy(update={"program": program, "version": version, "key_id": key_id})


async def ended(
    store: RunStore,
    new: NewRun | None = None,
    usage: Usage | None = None,
    *,
    status: RunStatus = RunStatus.COMPLETED,
) -> Run:
    """Carry a run out that costs so much."""
    run = await in_progress(store, new or a_run_of())
    return await store.finish(run.run_id, fence=run.fence, outcome=ends(status, usage), facts=[])


async def counted(store: RunStore, run: Run) -> Counter[UsageFigure]:
    """Return what was counted for the run's tenant until the day of its end, the day before included (for midnight)."""
    assert run.completed_at is not None
    day = run.completed_at.date()
    return summed(await store.usage(run.tenant, first=day - timedelta(days=1), last=day))


def summed(entries: Iterable[UsageEntry]) -> Counter[UsageFigure]:
    total: Counter[UsageFigure] = Counter()
    for entry in entries:
        total.update(entry.figures)
    return total
