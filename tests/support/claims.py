"""Claimed jobs in an in-memory store."""

import hashlib
from typing import Any

from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.artifact_paths import dataset_path
from dspy_service.domain.events import EventType
from dspy_service.domain.job import Claim, NewJob
from dspy_service.domain.spec import JobSpec
from tests.support.lm_calls import rows_json, spec

JOB_ID = "01890000-0000-7000-8000-000000000001"
DATASET = dataset_path("local", hashlib.sha256(rows_json(4)).hexdigest())
"""Where four rows stand."""


def new_job(job_spec: JobSpec | None = None, *, dataset: str = DATASET) -> NewJob:
    return NewJob(job_id=JOB_ID, tenant="local", spec=job_spec or spec(), dataset_rows=10, dataset_path=dataset)


async def claimed(
    job_spec: JobSpec | None = None, *, jobs: MemoryJobStore | None = None
) -> tuple[MemoryJobStore, Claim]:
    jobs = jobs or MemoryJobStore()
    await jobs.create(new_job(job_spec))
    claim = await jobs.claim(JOB_ID, owner="w1", lease_seconds=60, sandbox_level="L1")
    assert claim is not None
    return jobs, claim


async def take_over(jobs: MemoryJobStore) -> None:
    """Give the job to another worker."""
    await jobs.release(JOB_ID, fence=(await jobs.get(JOB_ID)).fence)
    assert await jobs.claim(JOB_ID, owner="w2", lease_seconds=60, sandbox_level="L1") is not None


async def told(jobs: MemoryJobStore, kind: EventType | None = None) -> list[dict[str, Any]]:
    """Return the data of the job's events."""
    return [dict(event.data) for event in await jobs.events(JOB_ID) if kind is None or event.type is kind]
