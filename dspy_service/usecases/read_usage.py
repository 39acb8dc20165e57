"""Reads what a job's language models have cost so far."""

from dspy_service.domain.events import EventType
from dspy_service.domain.job import Job
from dspy_service.domain.result import Usage
from dspy_service.domain.usage_view import UsageView, usage_of, view_usage
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.find_job import find_job
from dspy_service.usecases.read_artifact import read_result
from dspy_service.usecases.read_events import read_events

_FIRST_LOOK = 100  # events; a busy job tells its usage every few dozen
_LATER_LOOK = 5_000


async def read_usage(
    job_id: str, *, tenant: str, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes
) -> UsageView:
    """Return the final figures of a job that has ended, else the newest that its worker told.

    Raises:
        JobNotFoundError: this tenant has no such job.
        ArtifactCorruptError: what is stored is not what was signed.
    """
    job = await find_job(job_id, tenant=tenant, jobs=jobs)
    usage = Usage()
    if job.status.is_terminal:
        usage = (await read_result(job, artifacts=artifacts, secret_key=secret_key)).usage
    if not usage.roles:  # it goes on, or ended without a worker
        usage = await _told(job, jobs=jobs, artifacts=artifacts, secret_key=secret_key)
    return view_usage(job_id, usage, is_final=job.status.is_terminal)


async def _told(job: Job, *, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes) -> Usage:
    """Return what the newest ``usage`` event says; the log is looked through from its end."""
    before, count = job.last_seq, _FIRST_LOOK
    while before > 0:
        after = max(0, before - count)
        found = await read_events(
            job, jobs=jobs, artifacts=artifacts, secret_key=secret_key, after=after, limit=before - after
        )
        for event in reversed(found):
            roles = event.data.get("roles")
            if event.type is EventType.USAGE and isinstance(roles, dict):
                return usage_of(roles)
        before, count = after, _LATER_LOOK
    return Usage()
