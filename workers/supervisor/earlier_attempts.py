"""What the attempts before this one leave of a job's time."""

from datetime import datetime
from typing import Final

from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Claim
from dspy_service.ports import EventLog
from workers.supervisor.clock import RunningClock
from workers.supervisor.time_budget import TimeBudget

_PAGE_EVENTS: Final = 500
_MOST_PAGES: Final = 10  # the baseline is measured first; only a metric that logs a lot pushes its event further back


async def time_budget(claim: Claim, events: EventLog, *, job_seconds: float, keeps_reserve: bool = True) -> TimeBudget:
    """Return the time budget of an attempt.

    Raises:
        StoreUnavailableError: the events of earlier attempts could not be read.
    """
    budget, job = claim.spec.budget, claim.job
    max_seconds = budget.max_seconds if budget is not None else None
    is_again = max_seconds is not None and job.attempt > 1
    return TimeBudget(
        RunningClock(),
        job_seconds=job_seconds,
        max_seconds=max_seconds,
        spent_seconds=job.active_seconds,
        reserve_seconds=await _baseline_seconds(job.job_id, events) if is_again else 0.0,
        keeps_reserve=keeps_reserve,
    )


async def _baseline_seconds(job_id: str, events: EventLog) -> float:
    """Return how long the first baseline took that was measured to its end; 0 if the events do not tell.

    A later attempt's tells nothing: its model calls are replayed.
    """
    began: dict[int, datetime] = {}
    after = 0
    for _ in range(_MOST_PAGES):
        page = await events.events(job_id, after=after, limit=_PAGE_EVENTS)
        for event in page:
            if _tells(event, "dataset_splits_ready"):
                began[event.attempt] = event.timestamp
            elif _tells(event, "baseline_evaluated") and event.attempt in began:
                return (event.timestamp - began[event.attempt]).total_seconds()
        if len(page) < _PAGE_EVENTS:
            break
        after = page[-1].seq
    return 0.0


def _tells(event: Event, name: str) -> bool:
    return event.type is EventType.PROGRESS and event.data.get("event") == name
