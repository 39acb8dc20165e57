"""Says where waiting jobs stand, and why they wait; also those that only seem to run, for their worker is gone."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from dspy_service.domain.job import Job, JobStatus, Wish
from dspy_service.domain.queue import Place, QueueRules
from dspy_service.domain.views import NOT_WAITING, Waiting
from dspy_service.ports import JobStore
from dspy_service.usecases.check_health import Health, check_health


async def explain_waiting(found: Sequence[Job], *, jobs: JobStore, rules: QueueRules, now: datetime) -> list[Waiting]:
    """Return one answer for each job; only those that are pending, or whose worker has gone silent, cost anything."""
    pending = [job.job_id for job in found if job.status is JobStatus.PENDING]
    silent = {job.job_id for job in found if job.leased_until is not None and job.leased_until <= now}
    if not pending and not silent:
        return [NOT_WAITING] * len(found)
    health, places = await asyncio.gather(
        check_health(jobs=jobs, rules=rules),
        asyncio.gather(*(jobs.place(job_id) for job_id in pending)),
    )
    place_of = dict(zip(pending, places, strict=True))
    return [
        _silence(job, health) if job.job_id in silent else _explained(place_of.get(job.job_id), health, rules)
        for job in found
    ]


def _silence(job: Job, health: Health) -> Waiting:
    """Explain a job whose lease is over, and which nobody has returned to the queue yet."""
    sentences = ["Its worker has gone silent."]
    if job.wish is not Wish.GO_ON:
        sentences.append(f"Ask for the {job.wish} once more: it is done at once now.")
    sentences.append(health.problem or "It waits for another worker within seconds.")
    return Waiting(reason="worker_silent", detail=" ".join(sentences))


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
