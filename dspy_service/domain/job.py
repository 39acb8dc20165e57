"""The job record and its state machine.

::

    pending ──► validating ──► running ──► success
       │            │             │
       └────────────┴─────────────┴──────► failed | cancelled
       └────────────┴─────────────┴──► paused ──► pending
                                       failed ──► pending     (``retry``, at the user's own wish)

Terminal states never change by themselves. ``attempt`` rises on every claim, ``losses`` only when a lease expires.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from dspy_service.domain.budget import Budget
from dspy_service.domain.schema import Schema
from dspy_service.domain.spec import DEFAULT_PRIORITY, JobSpec, SplitFractions
from dspy_service.domain.webhook import Webhook

SCHEMA_VERSION = 1
"""Of records and events; who meets a newer one refuses to read it."""


class JobStatus(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    VALIDATING = "validating"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended; only a user's ``retry`` opens a failed one again."""
        return self in TERMINAL

    def can_become(self, other: "JobStatus") -> bool:
        """Whether the state machine has an arrow from this state to ``other``."""
        return other in TRANSITIONS[self]


TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset(
        {JobStatus.VALIDATING, JobStatus.PAUSED, JobStatus.FAILED, JobStatus.CANCELLED},
    ),
    JobStatus.VALIDATING: frozenset(
        {JobStatus.RUNNING, JobStatus.PENDING, JobStatus.PAUSED, JobStatus.FAILED, JobStatus.CANCELLED},
    ),
    JobStatus.RUNNING: frozenset(
        {JobStatus.SUCCESS, JobStatus.PENDING, JobStatus.PAUSED, JobStatus.FAILED, JobStatus.CANCELLED},
    ),
    JobStatus.PAUSED: frozenset({JobStatus.PENDING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.SUCCESS: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.PENDING}),
    JobStatus.CANCELLED: frozenset(),
}
"""``validating``/``running`` go back to ``pending`` when a lease expires or a deploy hands the job back."""

TERMINAL = frozenset({JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED})

TerminationReason = Literal[
    "completed",
    "target_reached",
    "no_improvement",
    "budget_exhausted",
    "error",
    "lost",
    "stalled",
    "time_limit",
    "cancelled",
]
"""Why a job ended. The first four go with ``success``; ``cancelled`` with its own status; the others with ``failed``,
as ``budget_exhausted`` does when there is no program."""


class Failure(Schema):
    """Why a program failed, for the person who wrote it."""

    kind: str
    """Stable word: ``metric_error``, ``signature_error``, ``program_error``, ``model_error``, ``runner_died``, …"""
    message: str
    """One line, for the job's ``message``."""
    traceback: str | None = None
    """The user's own frames only."""


class Wish(StrEnum):
    """What the record asks of the worker that holds the job; read from each heartbeat's reply."""

    GO_ON = "go_on"
    CANCEL = "cancel"
    PAUSE = "pause"


class BestSoFar(Schema):
    """The best program that an unfinished job has stored, as an artifact of its own."""

    score: float
    """On the whole valset."""
    path: str
    """Folder in the artifact store with a signed program and a partial result."""
    fence: Annotated[int, Field(ge=1)]
    """Of the attempt that stored it; its manifest names the same."""


class Job(Schema):
    """The record that lives in Redis: small, and the only truth about a job's state.

    Times are UTC from the store's own clock, non-decreasing within a job.
    """

    schema_version: int = SCHEMA_VERSION
    job_id: str
    tenant: str = "local"
    status: JobStatus = JobStatus.PENDING
    message: str | None = None
    """The newest progress event's name, the one-line reason of a failure, or for which provider it waits."""
    created_at: datetime
    queued_at: datetime
    """When it last became ``pending``: at submit, after a loss, a hand-back, a resume or a retry.

    After a loss or a hand-back it waits where it did before nevertheless, not behind jobs that were queued since.
    """
    started_at: datetime | None = None
    """Of the first attempt."""
    attempt_started_at: datetime | None = None
    completed_at: datetime | None = None
    active_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Time in ``running`` of all attempts, as their holders count it and tell it with each heartbeat.

    Waiting, ``validating``, pauses, and what a gentle stop waits for are not in it.
    """
    forgiven_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Of these, what had run before the last retry: a budget's ``max_seconds`` does not count it."""
    attempt: Annotated[int, Field(ge=0)] = 0
    fence: Annotated[int, Field(ge=0)] = 0
    losses: Annotated[int, Field(ge=0)] = 0
    owner: str | None = None
    """The worker that holds the lease, for people who look; the fence is what proves it."""
    leased_until: datetime | None = None
    """How long the worker that holds it has it for itself, unless it renews that; None: nobody holds it."""
    wish: Wish = Wish.GO_ON
    """What a user asked for and the worker has not done yet."""
    priority: Annotated[int, Field(ge=0, le=9)] = DEFAULT_PRIORITY
    last_seq: Annotated[int, Field(ge=0)] = 0
    """Number of the newest event."""
    latest_metrics: dict[str, JsonValue] = Field(default_factory=dict)
    eta_at: datetime | None = None
    """When the job is expected to end; None while nothing is known."""
    termination_reason: TerminationReason | None = None
    result_path: str | None = None
    """Folder in the artifact store that the fenced finish named; None when the job has no files."""
    result_fence: Annotated[int, Field(ge=0)] = 0
    """Of the attempt that wrote that folder; its manifest names the same."""
    has_artifact: bool = False
    best: BestSoFar | None = None
    archived_seq: Annotated[int, Field(ge=0)] = 0
    """Events up to this number stand in the artifact store instead of Redis; 0: none."""
    archive_fence: Annotated[int, Field(ge=0)] = 0
    """The fence that the archive's manifest names."""
    sandbox_level: str | None = None
    module_name: str
    optimizer: str
    """Its name in the catalogue; by this one jobs are found."""
    optimizer_name: str
    """As it was sent."""
    dataset_rows: Annotated[int, Field(ge=1)]
    dataset_path: str
    """Where the rows stand in the artifact store; content-addressed."""
    split_fractions: SplitFractions
    shuffle: bool
    seed: int
    optimizer_kwargs: dict[str, JsonValue]
    compile_kwargs: dict[str, JsonValue]
    budget: Budget | None = None
    webhook: Webhook | None = None
    webhook_problem: str | None = None
    """Why the webhook was not told of the end, after the newest try."""
    metadata: dict[str, str] = Field(default_factory=dict)

    def evolve(self, **changes: object) -> "Job":
        """Return a copy with ``changes``; a status change must be an arrow of the state machine."""
        status = changes.get("status", self.status)
        if isinstance(status, JobStatus) and status is not self.status and not self.status.can_become(status):
            message = f"a {self.status} job cannot become {status}"
            raise ValueError(message)
        return self.model_copy(update=changes)

    def elapsed_seconds(self) -> float | None:
        """Seconds from start to end; None until the job has ended, as the contract's summary says."""
        if self.started_at is None or self.completed_at is None:
            return None
        return max(0.0, (self.completed_at - self.started_at).total_seconds())

    def remaining_seconds(self, now: datetime) -> float | None:
        """Seconds until the expected end, never negative; None when it is unknown or the job has ended."""
        if self.eta_at is None or self.status.is_terminal:
            return None
        return max(0.0, (self.eta_at - now).total_seconds())


class NewJob(Schema):
    """What submit hands to the store; the store adds the times, the fence and the first event."""

    job_id: str
    tenant: str
    spec: JobSpec
    dataset_rows: Annotated[int, Field(ge=1)]
    dataset_path: str
    idempotency_key: str | None = None
    body_sha256: str = ""
    """Of the request body; tells a replay from a key that was used twice."""
    optimizer: str | None = None
    """Its name in the catalogue; None: the one that was sent."""
    max_live_jobs: Annotated[int, Field(ge=0)] = 0
    """Most jobs of the tenant that have not ended, this one included; 0: any number. Checked, not kept."""


class Claim(Schema):
    """Proof that a worker owns a job: hand ``fence`` to every write."""

    job: Job
    spec: JobSpec

    @property
    def fence(self) -> int:
        """The number that proves ownership."""
        return self.job.fence


class Outcome(Schema):
    """How a job ended, for the fenced finish."""

    status: Literal[JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED]
    termination_reason: TerminationReason
    message: str
    result_path: str | None = None
    """Folder that this attempt has written; None: no files."""
    active_seconds: Annotated[float | None, Field(ge=0)] = None
    """Running time of all attempts together, as this one counts it; None: what its holder said last stands."""
    has_artifact: bool = False
