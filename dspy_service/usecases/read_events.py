"""Reads a job's event log, wherever it stands."""

import asyncio

from dspy_service.domain.artifact_paths import EVENTS
from dspy_service.domain.events import Event
from dspy_service.domain.job import Job
from dspy_service.domain.views import EventPage
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.find_job import find_job
from dspy_service.usecases.signed_files import read_signed


async def read_events(
    job: Job,
    *,
    jobs: JobStore,
    artifacts: ArtifactStore,
    secret_key: bytes,
    after: int = 0,
    limit: int | None = None,
) -> list[Event]:
    """Return events with ``seq > after``, oldest first.

    A job that has ended moves its log from the store to the artifact store. That may happen between the reading of
    ``job`` and now, or between two pages of this very read: when the store has less than there should be, the record
    is read again.

    Raises:
        JobNotFoundError: the job was removed meanwhile.
        FileNotStoredError: the archived log was removed.
        ArtifactCorruptError: the archived log is not what was signed.
    """
    if not job.events_archived:
        events = await jobs.events(job.job_id, after=after, limit=limit)
        last = events[-1].seq if events else after
        if last >= job.last_seq or (limit is not None and len(events) >= limit):
            return events
        job = await jobs.get(job.job_id)
        if not job.events_archived:
            return events
    archived = await read_signed(job, EVENTS, artifacts=artifacts, secret_key=secret_key)
    return await asyncio.to_thread(_parse, archived, after, limit)


def _parse(archived: bytes, after: int, limit: int | None) -> list[Event]:
    """Return events with ``seq > after``: numbers rise by one from 1, so that line ``n`` holds event ``n + 1``."""
    end = None if limit is None else after + limit
    return [Event.model_validate_json(line) for line in archived.splitlines()[after:end]]


async def read_event_page(
    job_id: str,
    *,
    tenant: str,
    jobs: JobStore,
    artifacts: ArtifactStore,
    secret_key: bytes,
    after: int,
    limit: int,
) -> EventPage:
    """Return one page of events. Raises JobNotFoundError."""
    job = await find_job(job_id, tenant=tenant, jobs=jobs)
    events = await read_events(job, jobs=jobs, artifacts=artifacts, secret_key=secret_key, after=after, limit=limit + 1)
    page = events[:limit]
    return EventPage(data=page, has_more=len(events) > limit, last_id=page[-1].seq if page else after)
