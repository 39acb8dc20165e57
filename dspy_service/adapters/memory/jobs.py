"""The job store in memory: the same states, fences, numbering and back-off as in Redis."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dspy_service.adapters.job_record import (
    FIRST_RING_SECONDS,
    IDEMPOTENCY_SECONDS,
    LONGEST_RING_SECONDS,
    fixed_fields,
    state_event,
    terminal_event,
    to_plain,
)
from dspy_service.domain.errors import (
    IdempotencyConflictError,
    JobNotFinishedError,
    JobNotFoundError,
    LeaseLostError,
    QuotaExceededError,
)
from dspy_service.domain.events import Event, NewEvent
from dspy_service.domain.job import Claim, Job, JobStatus, NewJob, Outcome, Wish
from dspy_service.domain.spec import JobSpec
from dspy_service.domain.workers import WorkerInfo

if TYPE_CHECKING:
    from dspy_service.ports import JobStore


@dataclass
class _Record:
    job: Job
    spec: JobSpec | None
    stamped_at: datetime
    wish: Wish = Wish.GO_ON
    leased_until: datetime | None = None
    rings: int = 0
    batch: tuple[int, str] | None = None
    next_ring_at: datetime | None = None
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True)
class _IdempotentSubmit:
    job_id: str
    body_sha256: str
    expires_at: datetime


class MemoryJobStore:
    """Jobs of one process. ``clock`` may be any function that returns UTC times, so that tests can move time."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.clock = clock
        self._records: dict[str, _Record] = {}
        self._submits: dict[tuple[str, str], _IdempotentSubmit] = {}
        self._workers: dict[str, tuple[WorkerInfo, datetime]] = {}
        self._submitted = asyncio.Event()
        self._pins: dict[str, str] = {}

    def set_wish(self, job_id: str, wish: Wish) -> None:
        """Write what the next heartbeat of the job's worker will read."""
        self._record(job_id).wish = wish

    async def create(self, new: NewJob) -> tuple[Job, bool]:
        """Record a job, its outbox entry and its first event; or replay an idempotency key."""
        now = self.clock()
        earlier = self._earlier(new, now)
        if earlier is not None:
            return earlier, False
        if new.job_id not in self._records:
            self._check_quota(new)
            job = Job(**fixed_fields(new), created_at=now)
            record = _Record(job=job, spec=new.spec, stamped_at=now, next_ring_at=now)
            self._records[new.job_id] = record
            self._append(record, [state_event(JobStatus.PENDING)])
        if new.idempotency_key is not None:
            expires_at = now + timedelta(seconds=IDEMPOTENCY_SECONDS)
            submit = _IdempotentSubmit(new.job_id, new.body_sha256, expires_at)
            self._submits[new.tenant, new.idempotency_key] = submit
        self._submitted.set()
        return self._records[new.job_id].job, True

    def _check_quota(self, new: NewJob) -> None:
        live = sum(r.job.tenant == new.tenant and not r.job.status.is_terminal for r in self._records.values())
        if 0 < new.max_live_jobs <= live:
            raise QuotaExceededError(new.max_live_jobs)

    def _earlier(self, new: NewJob, now: datetime) -> Job | None:
        if new.idempotency_key is None:
            return None
        submit = self._submits.get((new.tenant, new.idempotency_key))
        if submit is None or submit.expires_at <= now or submit.job_id == new.job_id:
            return None
        if submit.body_sha256 != new.body_sha256:
            raise IdempotencyConflictError(new.idempotency_key)
        return self._records[submit.job_id].job

    async def get(self, job_id: str) -> Job:
        """Return the record, or raise JobNotFoundError."""
        return self._record(job_id).job

    async def claim(self, job_id: str, *, owner: str, lease_seconds: float, sandbox_level: str) -> Claim | None:
        """Take a pending job, or return None."""
        record = self._records.get(job_id)
        if record is None or record.spec is None or record.job.status is not JobStatus.PENDING:
            return None
        now = self._stamp(record)
        record.leased_until = now + timedelta(seconds=lease_seconds)
        record.next_ring_at, record.rings = None, 0
        record.job = record.job.evolve(
            status=JobStatus.VALIDATING,
            attempt=record.job.attempt + 1,
            fence=record.job.fence + 1,
            owner=owner,
            sandbox_level=sandbox_level,
            started_at=record.job.started_at or now,
        )
        self._append(record, [state_event(JobStatus.VALIDATING)])
        return Claim(job=record.job, spec=record.spec)

    async def renew(self, job_id: str, *, fence: int, lease_seconds: float) -> Wish:
        """Extend the lease and read the wish."""
        record = self._held(job_id, fence)
        record.leased_until = self.clock() + timedelta(seconds=lease_seconds)
        return record.wish

    async def append(
        self,
        job_id: str,
        *,
        fence: int,
        events: Sequence[NewEvent],
        latest_metrics: dict[str, object] | None = None,
        message: str | None = None,
        eta_seconds: float | None = None,
        batch: str | None = None,
    ) -> int:
        """Append events and refresh the record's own view of them."""
        record = self._held(job_id, fence)
        if batch is not None and record.batch == (fence, batch):
            return record.job.last_seq
        record.batch = record.batch if batch is None else (fence, batch)
        changes: dict[str, object] = {}
        if latest_metrics is not None:
            changes["latest_metrics"] = to_plain(latest_metrics)
        if message is not None:
            changes["message"] = message
        if eta_seconds is not None:
            changes["eta_at"] = self._stamp(record) + timedelta(seconds=eta_seconds)
        record.job = record.job.evolve(**changes)
        return self._append(record, events)

    async def advance(self, job_id: str, *, fence: int) -> None:
        """Move ``validating`` to ``running``; saying it twice changes nothing."""
        record = self._held(job_id, fence)
        if record.job.status is JobStatus.VALIDATING:
            record.job = record.job.evolve(status=JobStatus.RUNNING)
            self._append(record, [state_event(JobStatus.RUNNING)])

    async def finish(self, job_id: str, *, fence: int, outcome: Outcome) -> Job:
        """End the job; the same fence with the same status answers as the first time."""
        record = self._records.get(job_id)
        if record is not None and (record.job.fence, record.job.status) == (fence, outcome.status):
            return record.job
        record = self._held(job_id, fence)
        record.job = record.job.evolve(
            status=outcome.status,
            termination_reason=outcome.termination_reason,
            message=outcome.message,
            result_path=outcome.result_path,
            has_artifact=outcome.has_artifact,
            completed_at=self._stamp(record),
            eta_at=None,
        )
        record.leased_until = record.next_ring_at = None
        if outcome.result_path is not None:
            record.spec = None
        self._append(record, [terminal_event(outcome)])
        return record.job

    async def events(self, job_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events with ``seq > after``, oldest first."""
        record = self._records.get(job_id)
        newer = record.events[max(0, after) :] if record is not None else []
        return newer[:limit]

    async def drop_events(self, job_id: str) -> None:
        """Delete a terminal job's event log."""
        record = self._record(job_id)
        if not record.job.status.is_terminal:
            raise JobNotFinishedError(job_id, record.job.status)
        record.events = []
        record.job = record.job.evolve(events_archived=True)

    async def due(self, *, limit: int) -> list[str]:
        """Return the ids to ring now, longest due first, and put each one's next ring off."""
        now = self.clock()
        waiting = [(r.next_ring_at, job_id) for job_id, r in self._records.items() if r.next_ring_at is not None]
        ids = [job_id for at, job_id in sorted(waiting) if at <= now][:limit]
        for job_id in ids:
            record = self._records[job_id]
            pause_seconds = min(FIRST_RING_SECONDS * 2**record.rings, LONGEST_RING_SECONDS)
            record.rings += 1
            record.next_ring_at = now + timedelta(seconds=pause_seconds)
        return ids

    async def wait_for_submit(self, timeout_seconds: float) -> bool:
        """Wait until a job was submitted or the time is up."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._submitted.wait()
        except TimeoutError:
            return False
        self._submitted.clear()
        return True

    async def announce_worker(self, worker: WorkerInfo, *, ttl_seconds: float) -> None:
        """Say that a worker lives."""
        self._workers[worker.worker_id] = (worker, self.clock() + timedelta(seconds=ttl_seconds))

    async def retire_worker(self, worker_id: str) -> None:
        """Forget a worker that stops."""
        self._workers.pop(worker_id, None)

    async def live_workers(self) -> list[WorkerInfo]:
        """Return the workers that have not expired."""
        now = self.clock()
        return [worker for _, (worker, expires_at) in sorted(self._workers.items()) if expires_at > now]

    async def pin(self, name: str, value: str) -> str:
        """Remember ``value`` unless something else stands under ``name``; return what stands."""
        return self._pins.setdefault(name, value)

    async def now(self) -> datetime:
        """Return the clock's time."""
        return self.clock()

    async def aclose(self) -> None:
        """Nothing to release."""

    def _record(self, job_id: str) -> _Record:
        if job_id not in self._records:
            raise JobNotFoundError(job_id)
        return self._records[job_id]

    def _held(self, job_id: str, fence: int) -> _Record:
        record = self._records.get(job_id)
        if (
            record is None
            or record.job.fence != fence
            or record.job.status not in {JobStatus.VALIDATING, JobStatus.RUNNING}
        ):
            raise LeaseLostError(job_id, fence)
        return record

    def _stamp(self, record: _Record) -> datetime:
        record.stamped_at = max(record.stamped_at, self.clock())
        return record.stamped_at

    def _append(self, record: _Record, events: Sequence[NewEvent]) -> int:
        now = self._stamp(record)
        for new in events:
            seq = record.job.last_seq + 1
            data = to_plain(new.data)
            record.events.append(
                Event(seq=seq, type=new.type, timestamp=now, attempt=record.job.attempt, data=data),
            )
            record.job = record.job.evolve(last_seq=seq)
        return record.job.last_seq


if TYPE_CHECKING:
    _proof: JobStore = MemoryJobStore()
