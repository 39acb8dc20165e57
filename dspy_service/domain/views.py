"""The answers of the HTTP contract about jobs: its field names exactly, and ours on top."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from dspy_service.domain.events import Event, LogEntry, ProgressEvent, log_entries, progress_events
from dspy_service.domain.job import Job, JobStatus, TerminationReason
from dspy_service.domain.result import ProgramArtifact, RunResponse
from dspy_service.domain.spec import Schema, SplitFractions
from dspy_service.domain.times import UtcTime


class RunAccepted(Schema):
    """The answer of ``POST /run``."""

    job_id: Annotated[str, Field(description="Ask for the job's progress with it.")]
    status: Literal[JobStatus.PENDING] = JobStatus.PENDING
    estimated_remaining_seconds: Annotated[
        float | None, Field(description="Null: nothing is known before the job has started.")
    ] = None


class JobView(Schema):
    """What every answer about a job begins with."""

    job_id: str
    status: JobStatus
    message: Annotated[
        str | None, Field(description="The newest progress event's name, or one line that says why the job failed.")
    ]
    created_at: UtcTime
    started_at: UtcTime | None
    completed_at: UtcTime | None
    latest_metrics: dict[str, JsonValue]
    estimated_seconds_remaining: Annotated[float | None, Field(description="Null while nothing is known.")]
    attempt: Annotated[int, Field(description="How often a worker has taken the job; 0 while it waits.")]
    termination_reason: Annotated[TerminationReason | None, Field(description="Null until the job has ended.")]
    sandbox_level: Annotated[str | None, Field(description="How the submitted code is confined.")]
    metadata: dict[str, str]


class JobStatusView(JobView):
    """The answer of ``GET /jobs/{job_id}``: the record with everything that happened."""

    progress_events: list[ProgressEvent]
    logs: list[LogEntry]
    result: Annotated[RunResponse | None, Field(description="Null until the job has ended, then always present.")]


class JobSummaryView(JobView):
    """The answer of ``GET /jobs/{job_id}/summary``: small, for polling."""

    elapsed_seconds: Annotated[float | None, Field(description="From start to end; null until the job has ended.")]
    module_name: str
    optimizer_name: str
    dataset_rows: int
    split_fractions: SplitFractions
    shuffle: bool
    seed: Annotated[int, Field(description="Of the split; the one that was sent, or the one that was drawn.")]
    optimizer_kwargs: dict[str, JsonValue]
    compile_kwargs: dict[str, JsonValue]


class ArtifactView(Schema):
    """The answer of ``GET /jobs/{job_id}/artifact``."""

    program_artifact_path: str
    program_artifact: ProgramArtifact


class EventPage(Schema):
    """A page of a job's numbered events, oldest first."""

    object: Literal["list"] = "list"
    data: list[Event]
    has_more: Annotated[bool, Field(description="Whether there are newer events; ask with after = last_id.")]
    last_id: Annotated[int, Field(description="Number of the last event of this page, or what ``after`` was.")]


def _common(job: Job, now: datetime) -> dict[str, object]:
    fields = {name: getattr(job, name) for name in JobView.model_fields if name != "estimated_seconds_remaining"}
    return {**fields, "estimated_seconds_remaining": job.remaining_seconds(now)}


def view_status(job: Job, events: Sequence[Event], result: RunResponse | None, now: datetime) -> JobStatusView:
    """Compose the full view of a job."""
    return JobStatusView.model_validate(
        {
            **_common(job, now),
            "progress_events": progress_events(events),
            "logs": log_entries(events),
            "result": result,
        }
    )


def view_summary(job: Job, now: datetime) -> JobSummaryView:
    """Compose the small view of a job; its cost does not depend on the job's history."""
    own = {name: getattr(job, name) for name in JobSummaryView.model_fields if name in type(job).model_fields}
    return JobSummaryView.model_validate({**own, **_common(job, now), "elapsed_seconds": job.elapsed_seconds()})
