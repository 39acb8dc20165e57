"""Says where waiting jobs stand, and why they wait."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dspy_service.domain.job import Job, JobStatus
from dspy_service.domain.queue import Place
from dspy_service.domain.views import NOT_WAITING, Waiting
from dspy_service.domain.workers import SandboxLevel
from dspy_service.ports import JobStore
from dspy_service.usecases.check_health import Health, check_health


@dataclass(frozen=True)
class QueueRules:
    """What decides about waiting."""

    min_level: SandboxLevel
    """Weakest confinement in which submitted code may run."""
    tenant_running_jobs: int = 0
    """The most that one tenant may run at the same time; 0: any number."""


async def explain_waiting(found: Sequence[Job], *, jobs: JobStore, rules: QueueRules) -> list[Waiting]:
    """Return one answer for each job; only those that are pending cost anything."""
    pending = [job.job_id for job in found if job.status is JobStatus.PENDING]
    if not pending:
        return [NOT_WAITING] * len(found)
    health, places = await asyncio.gather(
        check_health(jobs=jobs, minimum=rules.min_level, tenant_running_jobs=rules.tenant_running_jobs),
        asyncio.gather(*(jobs.place(job_id) for job_id in pending)),
    )
    place_of = dict(zip(pending, places, strict=True))
    return [_explained(place_of.get(job.job_id), health, rules) for job in found]


def _explained(place: Place | None, health: Health, rules: QueueRules) -> Waiting:
    if place is None:
        return NOT_WAITING
    most = rules.tenant_running_jobs
    if nobody := health.nobody_takes or health.problem:
        return Waiting(position=place.position, reason="no_worker", detail=nobody)
    if 0 < most <= place.tenant_running:
        detail = f"{place.tenant_running} of your jobs run, and {most} may at the same time; it waits for one to end."
        return Waiting(position=place.position, reason="tenant_limit", detail=detail)
    if place.position > 1:
        detail = f"It is number {place.position} of your waiting jobs; a higher priority would start it earlier."
        return Waiting(position=place.position, reason="behind_others", detail=detail)
    if health.queue.running >= health.capacity:
        detail = f"All {health.capacity} slots of the workers are taken; it waits for one, or for another worker."
        return Waiting(position=place.position, reason="behind_others", detail=detail)
    return Waiting(position=place.position)
