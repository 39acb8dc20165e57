"""Finds a job for the tenant that owns it."""

from dspy_service.domain.errors import JobNotFoundError
from dspy_service.domain.job import Job
from dspy_service.ports import JobStore


async def find_job(job_id: str, *, tenant: str, jobs: JobStore) -> Job:
    """Return the record. Another tenant's job is as unknown as one that does not exist.

    Raises:
        JobNotFoundError: this tenant has no such job.
    """
    job = await jobs.get(job_id)
    if job.tenant != tenant:
        raise JobNotFoundError(job_id)
    return job
