"""Reads a job: its status, summary and logs."""

from dspy_service.domain.events import Event, LogEntry, log_entries
from dspy_service.domain.job import Job
from dspy_service.domain.queue import QueueRules
from dspy_service.domain.result import RunResponse
from dspy_service.domain.views import JobStatusView, JobSummaryView, view_status, view_summary
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.explain_waiting import explain_waiting
from dspy_service.usecases.find_job import find_job
from dspy_service.usecases.read_artifact import read_program, read_result
from dspy_service.usecases.read_events import read_events


async def read_status(
    job_id: str, *, tenant: str, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes
) -> JobStatusView:
    """Return the record with all progress events and logs, and the result once the job has ended.

    Raises:
        JobNotFoundError: this tenant has no such job.
    """
    job = await find_job(job_id, tenant=tenant, jobs=jobs)
    events = await read_events(job, jobs=jobs, artifacts=artifacts, secret_key=secret_key)
    result = (
        await _compose_result(job, events, artifacts=artifacts, secret_key=secret_key)
        if job.status.is_terminal
        else None
    )
    return view_status(job, events, result, await jobs.now())


async def read_summary(job_id: str, *, tenant: str, jobs: JobStore, rules: QueueRules) -> JobSummaryView:
    """Return the small view, from the record alone. Raises JobNotFoundError."""
    return await summarize(await find_job(job_id, tenant=tenant, jobs=jobs), jobs=jobs, rules=rules)


async def summarize(job: Job, *, jobs: JobStore, rules: QueueRules) -> JobSummaryView:
    """Return the small view of a record that was just read; only for a job that waits the queue is asked too."""
    now = await jobs.now()
    [waiting] = await explain_waiting([job], jobs=jobs, rules=rules, now=now)
    return view_summary(job, now, waiting)


async def read_logs(
    job_id: str, *, tenant: str, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes
) -> list[LogEntry]:
    """Return the whole log, oldest first. Raises JobNotFoundError."""
    job = await find_job(job_id, tenant=tenant, jobs=jobs)
    return log_entries(await read_events(job, jobs=jobs, artifacts=artifacts, secret_key=secret_key))


async def _compose_result(job: Job, events: list[Event], *, artifacts: ArtifactStore, secret_key: bytes) -> RunResponse:
    """Put the result together from its files and the log; what a failed job does not have is null."""
    stored = await read_result(job, artifacts=artifacts, secret_key=secret_key)
    program = await read_program(job, artifacts=artifacts, secret_key=secret_key) if job.has_artifact else None
    measured = {name: getattr(stored, name) for name in RunResponse.model_fields if name in type(stored).model_fields}
    return RunResponse.model_construct(
        **{
            **measured,
            "program_artifact_path": program.path if program else None,
            "program_artifact": program,
            "run_log": log_entries(events),
        }
    )
