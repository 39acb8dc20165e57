"""The answers of the HTTP contract about jobs: its field names exactly, and ours on top."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from dspy_service.domain.budget import Budget
from dspy_service.domain.events import Event, LogEntry, ProgressEvent, leading_run, log_entries, progress_events
from dspy_service.domain.job import Job, JobStatus, TerminationReason, Wish
from dspy_service.domain.result import ProgramArtifact, RunResponse
from dspy_service.domain.schema import Schema
from dspy_service.domain.spec import SplitFractions
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
        str | None,
        Field(
            description="The newest progress event's name, or one line that says why the job failed, or which provider "
            "refuses its calls and until when it waits."
        ),
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


WaitingReason = Literal["behind_others", "tenant_limit", "no_worker", "worker_silent"]


class Waiting(Schema):
    """Where a pending job stands, and what it waits for."""

    position: Annotated[int | None, Field(ge=1)] = None
    """Among the tenant's own waiting jobs, 1 is next; None when it waits no more."""
    reason: WaitingReason | None = None
    """None: it will be taken at once."""
    detail: str | None = None
    """The reason as a sentence that says what helps."""


NOT_WAITING = Waiting()


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
    requested: Annotated[
        Literal["cancel", "pause"] | None, Field(description="What was asked for and the worker has not done yet.")
    ]
    priority: int
    budget: Budget | None
    queued_at: Annotated[UtcTime, Field(description="When it last began to wait.")]
    queue_position: Annotated[
        int | None, Field(description="Among your own waiting jobs; 1 is next. Null when it does not wait.")
    ]
    waiting_reason: Annotated[
        WaitingReason | None,
        Field(
            description="Why a pending job waits; null: it will be taken at once. `worker_silent`: it seems to run, "
            "but its worker is gone."
        ),
    ]
    waiting_detail: Annotated[str | None, Field(description="The same as a sentence.")]
    active_seconds: Annotated[
        float,
        Field(
            description="Time in `running` of all attempts, as of the last heartbeat; not queued, not starting, not "
            "paused. A budget's `max_seconds` bounds what came after the last retry, by the same clock."
        ),
    ]
    losses: Annotated[int, Field(description="Workers that died on it.")]
    best_score: Annotated[
        float | None,
        Field(description="Of the best program stored so far, on the whole valset; a stop keeps it."),
    ]
    webhook_problem: Annotated[
        str | None,
        Field(description="Why your webhook was not told of the end, at the newest try; null: it was, or not tried."),
    ]


class JobList(Schema):
    """The answer of ``GET /jobs``: newest first."""

    object: Literal["list"] = "list"
    data: list[JobSummaryView]
    has_more: Annotated[bool, Field(description="Whether there are older ones; ask with after = last_id.")]
    last_id: Annotated[
        str | None,
        Field(description="Where the next page goes on; with filters, perhaps a job that is not in `data`."),
    ]


class ArtifactView(Schema):
    """The answer of ``GET /jobs/{job_id}/artifact``."""

    program_artifact_path: str
    program_artifact: ProgramArtifact


class EventGap(Schema):
    """Numbers that are not there any more."""

    first: Annotated[int, Field(alias="from")]
    last: Annotated[int, Field(alias="to")]


class EventPage(Schema):
    """A page of a job's numbered events, oldest first."""

    object: Literal["list"] = "list"
    data: list[Event]
    has_more: Annotated[bool, Field(description="Whether there are newer events; ask with after = last_id.")]
    last_id: Annotated[int, Field(description="Number of the last event of this page, or what ``after`` was.")]
    gap: Annotated[
        EventGap | None, Field(description="Numbers before this page's first event that are not there any more.")
    ] = None


class StreamEnd(Schema):
    """The last message of an event stream: the job has ended, and everything was told."""

    status: JobStatus
    termination_reason: TerminationReason | None
    last_id: int


def page_events(events: Sequence[Event], *, after: int, limit: int, last_seq: int) -> EventPage:
    """Compose a page: it ends before a missing number, so that each page has at most one gap, at its start.

    Args:
        events: What was found behind ``after``, at most one more than ``limit``.
        after: The last number that the reader has seen.
        limit: Most events of a page.
        last_seq: Number of the job's newest event.
    """
    page = leading_run(events)[:limit]
    missing_up_to = page[0].seq - 1 if page else last_seq
    return EventPage(
        data=page,
        has_more=len(events) > len(page),
        last_id=page[-1].seq if page else max(after, last_seq),
        gap=EventGap(first=after + 1, last=missing_up_to) if missing_up_to > after else None,
    )


# Of a page of a hundred jobs, looking the names up anew for each cost more than the rest of its view.
_COMMON_FIELDS = tuple(name for name in JobView.model_fields if name in Job.model_fields)
_SUMMARY_FIELDS = tuple(name for name in JobSummaryView.model_fields if name in Job.model_fields)


def _common(job: Job, now: datetime) -> dict[str, object]:
    fields = {name: getattr(job, name) for name in _COMMON_FIELDS}
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


def view_summary(job: Job, now: datetime, waiting: Waiting = NOT_WAITING) -> JobSummaryView:
    """Compose the small view of a job; its cost does not depend on the job's history."""
    return JobSummaryView.model_validate(
        {
            **{name: getattr(job, name) for name in _SUMMARY_FIELDS},
            "estimated_seconds_remaining": job.remaining_seconds(now),
            "elapsed_seconds": job.elapsed_seconds(),
            "requested": None if job.wish is Wish.GO_ON else job.wish.value,
            "queue_position": waiting.position,
            "waiting_reason": waiting.reason,
            "waiting_detail": waiting.detail,
            "best_score": job.best.score if job.best is not None else None,
        }
    )
