"""The job records in memory: submits, claims, and what the holder of a claim writes."""

from datetime import datetime, timedelta

from dspy_service.adapters.job_record import IDEMPOTENCY_SECONDS, fixed_fields
from dspy_service.adapters.memory.state import HELD, IdempotentSubmit, MemoryPart, Record
from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import IdempotencyKeyReusedError, LeaseLostError, StoreUnavailableError
from dspy_service.domain.job import BestSoFar, Claim, Job, JobStatus, NewJob, Outcome, Wish
from dspy_service.domain.spec import JobSpec


class MemoryJobRecords(MemoryPart):
    """See the port ``JobRecords``; ends and reopenings that no worker writes stand in ``MemoryJobEnds``."""

    async def create(self, new: NewJob) -> tuple[Job, bool]:
        """Record a job, its place in the queue and its first event; or replay an idempotency key."""
        now = self.clock()
        try:
            earlier = self._earlier(new, now)
            if earlier is not None:
                self._leave_orphan(new.dataset_path)
                return earlier, False
            if new.job_id not in self._records:
                self._check_dataset(new, now)
                self._check_quota(new.tenant, new.max_live_jobs)
        except (IdempotencyKeyReusedError, QuotaExceededError, StoreUnavailableError):
            self._leave_orphan(new.dataset_path)
            raise
        if new.job_id not in self._records:
            job = Job(**fixed_fields(new), created_at=now, queued_at=now)
            record = self._records[new.job_id] = Record(job=job, spec=new.spec, stamped_at=now, place_at=now)
            self._orphans.pop(new.dataset_path, None)
            self._become(record, JobStatus.PENDING)
        if new.idempotency_key is not None:
            expires_at = now + timedelta(seconds=IDEMPOTENCY_SECONDS)
            submit = IdempotentSubmit(new.job_id, new.body_sha256, expires_at)
            self._submits[new.tenant, new.idempotency_key] = submit
        return self._records[new.job_id].job, True

    def _check_dataset(self, new: NewJob, now: datetime) -> None:
        if self._leaving.get(new.dataset_path, now) > now:
            raise StoreUnavailableError("dataset")

    def _earlier(self, new: NewJob, now: datetime) -> Job | None:
        if new.idempotency_key is None:
            return None
        submit = self._submits.get((new.tenant, new.idempotency_key))
        if submit is None or submit.expires_at <= now or submit.job_id not in self._records:
            return None
        if submit.job_id == new.job_id:
            return None
        if submit.body_sha256 != new.body_sha256:
            raise IdempotencyKeyReusedError(new.idempotency_key)
        return self._records[submit.job_id].job

    def _leave_orphan(self, dataset_path: str) -> None:
        """Note that a dataset may go, unless a job names it."""
        if all(record.job.dataset_path != dataset_path for record in self._records.values()):
            self._orphans.setdefault(dataset_path, self.clock())
            self._wanted.add(dataset_path)

    async def get(self, job_id: str) -> Job:
        """Return the record, or raise JobNotFoundError."""
        return self._record(job_id).job

    async def spec(self, job_id: str) -> JobSpec | None:
        """Return what was asked for; None once it has moved to the artifact store."""
        record = self._records.get(job_id)
        return None if record is None else record.spec

    async def claim(
        self, job_id: str, *, owner: str, lease_seconds: float, sandbox_level: str, tenant_running_jobs: int = 0
    ) -> Claim | None:
        """Take a pending job, or return None."""
        record = self._records.get(job_id)
        if record is None or record.spec is None or record.job.status is not JobStatus.PENDING:
            return None
        tenant = record.job.tenant
        if 0 < tenant_running_jobs <= sum(r.is_held and r.job.tenant == tenant for r in self._records.values()):
            return None
        now = self._stamp(record)
        record.lease_seconds, record.batch = lease_seconds, None
        record.job = record.job.evolve(
            attempt=record.job.attempt + 1,
            fence=record.job.fence + 1,
            owner=owner,
            sandbox_level=sandbox_level,
            started_at=record.job.started_at or now,
            attempt_started_at=now,
            message=None,
            latest_metrics={},
            eta_at=None,
            leased_until=self.clock() + timedelta(seconds=lease_seconds),
        )
        self._become(record, JobStatus.VALIDATING)
        return Claim(job=record.job, spec=record.spec)

    async def renew(
        self, job_id: str, *, fence: int, lease_seconds: float, active_seconds: float | None = None
    ) -> Wish:
        """Extend the lease and read the wish."""
        record = self._held(job_id, fence)
        record.lease_seconds = lease_seconds
        record.job = record.job.evolve(leased_until=self.clock() + timedelta(seconds=lease_seconds))
        _note_active(record, active_seconds)
        return record.job.wish

    async def advance(self, job_id: str, *, fence: int) -> None:
        """Move ``validating`` to ``running``; saying it twice changes nothing."""
        record = self._held(job_id, fence)
        if record.job.status is JobStatus.VALIDATING:
            self._become(record, JobStatus.RUNNING)

    async def keep_best(self, job_id: str, *, fence: int, best: BestSoFar) -> None:
        """Note the best program so far, unless a better one stands there."""
        record = self._held(job_id, fence)
        if record.job.best is None or record.job.best.score <= best.score:
            record.job = record.job.evolve(best=best)

    async def finish(self, job_id: str, *, fence: int, outcome: Outcome) -> Job:
        """End the job; the same fence with the same status answers as the first time."""
        record = self._records.get(job_id)
        if record is not None and (record.job.fence, record.job.status) == (fence, outcome.status):
            return record.job
        record = self._held(job_id, fence)
        if not record.job.status.can_become(outcome.status):
            message = f"a {record.job.status} job cannot become {outcome.status}"
            raise ValueError(message)
        if outcome.result_path is not None:
            record.job = record.job.evolve(result_path=outcome.result_path, result_fence=fence)
        record.job = record.job.evolve(has_artifact=outcome.has_artifact)
        _note_active(record, outcome.active_seconds)
        self._become(record, outcome.status, message=outcome.message, reason=outcome.termination_reason)
        return record.job

    async def release(
        self,
        job_id: str,
        *,
        fence: int,
        message: str | None = None,
        keeps_place: bool = True,
        active_seconds: float | None = None,
    ) -> Job:
        """Give the job back without a loss."""
        record = self._records.get(job_id)
        lost = {JobStatus.SUCCESS, JobStatus.FAILED}
        if record is None or record.job.fence != fence or record.job.status in lost:
            raise LeaseLostError(job_id, fence)
        if record.job.status not in HELD:
            return record.job
        wish = record.job.wish
        record.job = record.job.evolve(owner=None, message=None)
        _note_active(record, active_seconds)
        if wish is Wish.CANCEL:
            self._end_without_worker(record, JobStatus.CANCELLED, message="cancelled", reason="cancelled")
        elif wish is Wish.PAUSE:
            self._become(record, JobStatus.PAUSED)
        else:
            self._become(record, JobStatus.PENDING, message=message, keeps_place=keeps_place)
        return record.job

    async def pin(self, name: str, value: str) -> str:
        """Remember ``value`` unless something else stands under ``name``; return what stands."""
        return self._pins.setdefault(name, value)

    async def now(self) -> datetime:
        """Return the clock's time."""
        return self.clock()


def _note_active(record: Record, told: float | None) -> None:
    """Keep what a holder says of the running time of all attempts; it never falls."""
    if told is not None and told > record.job.active_seconds:
        record.job = record.job.evolve(active_seconds=told)
