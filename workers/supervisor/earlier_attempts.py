"""What the attempts before this one leave of a job's time."""

import logging
from datetime import datetime
from typing import Final

from dspy_service.domain.errors import ArtifactCorruptError, FileNotStoredError
from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Claim, Job
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.read_events import read_events
from workers.supervisor.clock import RunningClock
from workers.supervisor.time_budget import TimeBudget

_log: Final = logging.getLogger(__name__)
_PAGE_EVENTS: Final = 500
_MOST_PAGES: Final = 10  # the baseline is measured first; only a metric that logs a lot pushes its event further back


async def time_budget(
    claim: Claim,
    *,
    jobs: JobStore,
    artifacts: ArtifactStore,
    secret_key: bytes,
    job_seconds: float,
    keeps_reserve: bool = True,
) -> TimeBudget:
    """Return the time budget of an attempt; what had run before its user's last retry does not count.

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
        spent_seconds=job.active_seconds - job.forgiven_seconds,
        reserve_seconds=await _baseline_seconds(job, jobs, artifacts, secret_key) if is_again else 0.0,
        keeps_reserve=keeps_reserve,
    )


async def _baseline_seconds(job: Job, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes) -> float:
    """Return how long the first baseline took that was measured to its end; 0 if the events do not tell.

    A later attempt's tells nothing: its model calls are replayed.
    """
    began: dict[int, datetime] = {}
    after = 0
    for _ in range(_MOST_PAGES):
        try:
            page = await read_events(
                job, jobs=jobs, artifacts=artifacts, secret_key=secret_key, after=after, limit=_PAGE_EVENTS
            )
        except (FileNotStoredError, ArtifactCorruptError) as error:
            _log.warning("How long the baseline of job %s took is not known any more: %s", job.job_id, error)
            return 0.0
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
