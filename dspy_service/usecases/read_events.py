"""Reads a job's event log, wherever it stands."""

from dspy_service.domain.artifact_paths import EVENTS, file_in, published_folder
from dspy_service.domain.events import Event
from dspy_service.domain.job import Job
from dspy_service.domain.views import EventPage
from dspy_service.ports import ArtifactStore, JobStore


async def read_events(
    job: Job, *, jobs: JobStore, artifacts: ArtifactStore, after: int = 0, limit: int | None = None
) -> list[Event]:
    """Return events with ``seq > after``, oldest first.

    A job that has ended moves its log from the store to the artifact store. That may happen between the reading of
    ``job`` and now: when the store has nothing although there should be something, the record is read again.

    Raises:
        JobNotFoundError: the job was removed meanwhile.
        FileNotStoredError: the archived log was removed.
    """
    if not job.events_archived:
        events = await jobs.events(job.job_id, after=after, limit=limit)
        if events or after >= job.last_seq:
            return events
        job = await jobs.get(job.job_id)
        if not job.events_archived:
            return events
    archived = await artifacts.get(file_in(published_folder(job.job_id), EVENTS))
    lines = archived.splitlines()
    newer = [event for event in map(Event.model_validate_json, lines) if event.seq > after]
    return newer[:limit]


async def read_event_page(
    job_id: str, *, jobs: JobStore, artifacts: ArtifactStore, after: int, limit: int
) -> EventPage:
    """Return one page of events. Raises JobNotFoundError."""
    job = await jobs.get(job_id)
    events = await read_events(job, jobs=jobs, artifacts=artifacts, after=after, limit=limit + 1)
    page = events[:limit]
    return EventPage(data=page, has_more=len(events) > limit, last_id=page[-1].seq if page else after)
