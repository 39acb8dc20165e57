"""Reads a job's event log, wherever it stands."""

from dspy_service.domain.errors import ArtifactCorruptError, FileNotStoredError
from dspy_service.domain.events import Event
from dspy_service.domain.job import Job
from dspy_service.domain.views import EventPage, page_events
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.archived_events import read_archived
from dspy_service.usecases.find_job import find_job


async def read_events(
    job: Job,
    *,
    jobs: JobStore,
    artifacts: ArtifactStore,
    secret_key: bytes,
    after: int = 0,
    limit: int | None = None,
) -> list[Event]:
    """Return events with ``seq > after``, oldest first: those that are archived, then those that came since.

    A job that has ended moves its log from the store to the artifact store. That may happen between the reading of
    ``job`` and now, or between two pages of this very read: when there is less than there should be, the record is
    read again.

    Raises:
        JobNotFoundError: the job was removed meanwhile.
        FileNotStoredError: the archived log was removed.
        ArtifactCorruptError: the archived log is not what was signed.
    """
    while True:
        try:
            events = await _read(job, jobs, artifacts, secret_key, after=after, limit=limit)
        except (FileNotStoredError, ArtifactCorruptError):
            newer = await jobs.get(job.job_id)
            if newer.archive_fence == job.archive_fence:
                raise  # else it was archived anew, after a retry, and the old archive cleared
        else:
            if _is_whole(events, job, after, limit):
                return events
            newer = await jobs.get(job.job_id)
            if newer.archived_seq == job.archived_seq:
                return events
        job = newer


async def _read(
    job: Job, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes, *, after: int, limit: int | None
) -> list[Event]:
    """Return what the archive and the store have now, as far as the record tells."""
    archived: list[Event] = []
    if after < job.archived_seq:
        archived = await read_archived(job, after=after, limit=limit, artifacts=artifacts, secret_key=secret_key)
    rest = None if limit is None else limit - len(archived)
    if rest == 0 or max(after, job.archived_seq) >= job.last_seq:
        return archived
    return archived + await jobs.events(job.job_id, after=max(after, job.archived_seq), limit=rest)


def _is_whole(events: list[Event], job: Job, after: int, limit: int | None) -> bool:
    last = events[-1].seq if events else after
    return last >= job.last_seq or (limit is not None and len(events) >= limit)


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
    """Return one page of events behind ``after``; a number beyond the newest is taken for that.

    Raises:
        JobNotFoundError: this tenant has no such job.
    """
    job = await find_job(job_id, tenant=tenant, jobs=jobs)
    after = min(after, job.last_seq)
    events = await read_events(job, jobs=jobs, artifacts=artifacts, secret_key=secret_key, after=after, limit=limit + 1)
    return page_events(events, after=after, limit=limit, last_seq=job.last_seq)
