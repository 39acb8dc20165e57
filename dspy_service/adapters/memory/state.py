"""What all parts of the job store in memory share: the records, their clock, and the one way to change a state."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dspy_service.adapters.job_record import state_event, to_plain
from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import JobNotFoundError, LeaseLostError
from dspy_service.domain.events import Event, NewEvent
from dspy_service.domain.job import Job, JobStatus, TerminationReason, Wish
from dspy_service.domain.spec import JobSpec
from dspy_service.domain.workers import WorkerInfo

HELD = frozenset({JobStatus.VALIDATING, JobStatus.RUNNING})


@dataclass
class Telling:
    """What was done to tell the webhook of one end of a job."""

    seq: int
    """Number of the terminal event."""
    first_tried_at: datetime
    tries: int = 0
    is_out: bool = False
    """Whether somebody has the delivery now."""
    next_try_at: datetime | None = None
    """None: no more, it was told or given up."""


@dataclass
class Record:
    """One job with everything that the store keeps beside its record."""

    job: Job
    spec: JobSpec | None
    stamped_at: datetime
    place_at: datetime
    """What gives the job its place among those of its tenant; when it was queued, unless a worker gave it back."""
    lease_seconds: float = 0.0
    """Of the present claim."""
    rings: int = 0
    batch: str | None = None
    next_ring_at: datetime | None = None
    is_settled: bool = False
    was_reopened: bool = False
    events: list[Event] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """The journal's tail; ``first_answer`` is the number of its first entry."""
    first_answer: int = 0
    telling: Telling | None = None
    ended_at: datetime | None = None
    """By the clock of that moment; what the job tells is never earlier than its events."""

    @property
    def is_held(self) -> bool:
        """Whether a worker holds the job."""
        return self.job.status in HELD

    @property
    def order(self) -> tuple[int, datetime, str]:
        """What sorts one tenant's waiting jobs: higher priority, then the longer wait."""
        return -self.job.priority, self.place_at, self.job.job_id


@dataclass(frozen=True)
class IdempotentSubmit:
    """What an idempotency key stands for."""

    job_id: str
    body_sha256: str
    expires_at: datetime


class MemoryPart:
    """A part of the job store; ``clock`` may be any function that returns UTC times, so that tests can move time."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.clock = clock
        self._records: dict[str, Record] = {}
        self._submits: dict[tuple[str, str], IdempotentSubmit] = {}
        self._workers: dict[str, tuple[WorkerInfo, datetime]] = {}
        self._submitted = asyncio.Event()
        self._pins: dict[str, str] = {}
        self._orphans: dict[str, datetime] = {}
        self._leaving: dict[str, datetime] = {}
        self._wanted: set[str] = set()
        """Paths that were stored again while they were leaving."""

    def _record(self, job_id: str) -> Record:
        if job_id not in self._records:
            raise JobNotFoundError(job_id)
        return self._records[job_id]

    def _check_quota(self, tenant: str, max_live_jobs: int) -> None:
        live = sum(r.job.tenant == tenant and not r.job.status.is_terminal for r in self._records.values())
        if 0 < max_live_jobs <= live:
            raise QuotaExceededError(max_live_jobs)

    def _held(self, job_id: str, fence: int) -> Record:
        record = self._records.get(job_id)
        if record is None or record.job.fence != fence or not record.is_held:
            raise LeaseLostError(job_id, fence)
        return record

    def _stamp(self, record: Record) -> datetime:
        record.stamped_at = max(record.stamped_at, self.clock())
        return record.stamped_at

    def _append(self, record: Record, events: Sequence[NewEvent]) -> int:
        now = self._stamp(record)
        for new in events:
            seq = record.job.last_seq + 1
            data = to_plain(new.data)
            record.events.append(
                Event(seq=seq, type=new.type, timestamp=now, attempt=record.job.attempt, data=data),
            )
            record.job = record.job.evolve(last_seq=seq)
        return record.job.last_seq

    def _become(
        self,
        record: Record,
        status: JobStatus,
        *,
        message: str | None = None,
        reason: TerminationReason | None = None,
        keeps_place: bool = True,
    ) -> None:
        """Change a state, with the lease, the place in the queue, the event and the wake-ups that go with it.

        Args:
            record: The job.
            status: Its new state.
            message: What is said of it; None leaves the record's.
            reason: Of an end.
            keeps_place: Whether a job that its worker gives back waits where it did before.
        """
        now = self._stamp(record)
        was_held = record.is_held
        changes: dict[str, object] = {"status": status}
        if message is not None:
            changes["message"] = message
        if was_held and status not in HELD:
            changes |= {"wish": Wish.GO_ON, "eta_at": None, "leased_until": None}
        if status is JobStatus.PENDING:
            changes["queued_at"] = now
            if not (was_held and keeps_place):
                record.place_at = now
        if status.is_terminal:
            changes |= {"termination_reason": reason, "completed_at": now}
            record.ended_at = self.clock()
        record.job = record.job.evolve(**changes)
        record.next_ring_at, record.rings = (now, 0) if status is JobStatus.PENDING else (None, 0)
        if was_held and status not in HELD:
            self._ring_next(record.job, now)
        if status is JobStatus.PENDING:
            self._submitted.set()
        self._append(record, [state_event(status, message, reason)])

    def _end_without_worker(
        self,
        record: Record,
        status: JobStatus,
        *,
        message: str,
        reason: TerminationReason,
    ) -> None:
        """End a job whose best program so far, if there is one, is its result."""
        best = record.job.best
        if best is not None:
            record.job = record.job.evolve(result_path=best.path, result_fence=best.fence, has_artifact=True)
        self._become(record, status, message=message, reason=reason)

    def _ring_next(self, job: Job, now: datetime) -> None:
        """Ring for a waiting job of the same tenant, which may run in the place of one that stopped."""
        waiting = [
            other.order
            for other in self._records.values()
            if other.job.tenant == job.tenant and other.job.status is JobStatus.PENDING and other.job is not job
        ]
        if waiting:
            first = self._records[min(waiting)[-1]]
            first.next_ring_at, first.rings = now, 0
            self._submitted.set()
