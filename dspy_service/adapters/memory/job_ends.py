"""The job records in memory: wishes, lost leases, and what becomes of an ended job."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dspy_service.adapters.job_record import LEAVING_SECONDS, loss_message, retry_refused, wish_refused
from dspy_service.adapters.memory.state import MemoryPart, Record
from dspy_service.domain.errors import JobNotFinishedError
from dspy_service.domain.job import Job, JobStatus, Wish
from dspy_service.domain.spec import JobSpec

_AIMS = {Wish.CANCEL: JobStatus.CANCELLED, Wish.PAUSE: JobStatus.PAUSED, Wish.GO_ON: JobStatus.PENDING}
_NEVER = datetime.min.replace(tzinfo=UTC)


class MemoryJobEnds(MemoryPart):
    """See the port ``JobRecords``."""

    started_at = _NEVER
    """When this store is said to have started; nothing is reaped for one lease from then."""

    async def wish(self, job_id: str, wish: Wish) -> Job:
        """Ask for a cancel, a pause or a resume."""
        record = self._record(job_id)
        job, aim = record.job, _AIMS[wish]
        if record.is_held:
            if job.wish is Wish.CANCEL and wish is not Wish.CANCEL:
                raise wish_refused(job_id, job.status, wish=wish, pending=job.wish)
            record.job = job.evolve(wish=wish)
            if wish is not Wish.GO_ON and self._has_gone_silent(record):
                self._lose(record, "fell silent", max_losses=0)
        elif job.status is not aim:
            if job.status.is_terminal:
                raise wish_refused(job_id, job.status, wish=wish, pending=Wish.GO_ON)
            if aim is JobStatus.CANCELLED:
                self._end_without_worker(record, aim, message="cancelled", reason="cancelled")
            else:
                self._become(record, aim)
        return record.job

    def _has_gone_silent(self, record: Record) -> bool:
        now, leased_until = self.clock(), record.job.leased_until
        has_been_up = now - self.started_at >= timedelta(seconds=record.lease_seconds)
        return has_been_up and leased_until is not None and leased_until <= now

    async def reopen(self, job_id: str, *, spec: JobSpec, max_live_jobs: int = 0) -> Job:
        """Move a failed job back to ``pending``."""
        record = self._record(job_id)
        status = record.job.status
        if status is JobStatus.FAILED and record.is_settled:
            self._check_quota(record.job.tenant, max_live_jobs)
            record.job = record.job.evolve(
                fence=record.job.fence + 1,
                losses=0,
                forgiven_seconds=record.job.active_seconds,
                owner=None,
                best=None,
                message=None,
                webhook_problem=None,
                result_path=None,
                result_fence=0,
                has_artifact=False,
                completed_at=None,
                termination_reason=None,
            )
            record.spec, record.is_settled, record.was_reopened = spec, False, True
            self._become(record, JobStatus.PENDING)
        elif status.is_terminal or status is JobStatus.PAUSED or not record.was_reopened:
            raise retry_refused(job_id, status)
        return record.job

    async def reap(self, *, lease_seconds: float, max_losses: int, limit: int = 100) -> list[Job]:
        """End every lease that has expired."""
        now = self.clock()
        if now - self.started_at < timedelta(seconds=lease_seconds):
            return []
        self._shorten_leases(now)
        held = [(r.job.leased_until, job_id) for job_id, r in self._records.items()]
        leases = [(leased_until, job_id) for leased_until, job_id in held if leased_until is not None]
        expired = [self._records[job_id] for leased_until, job_id in sorted(leases) if leased_until <= now][:limit]
        for record in expired:
            self._lose(record, "fell silent", max_losses)
        return [record.job for record in expired]

    def _shorten_leases(self, now: datetime) -> None:
        """Let no lease end later than one that begins now: it is from before the clock was set back."""
        for record in self._records.values():
            latest = now + timedelta(seconds=record.lease_seconds)
            if record.job.leased_until is not None and record.job.leased_until > latest:
                record.job = record.job.evolve(leased_until=latest)

    async def lose(self, owners: Sequence[str], *, max_losses: int) -> list[Job]:
        """End the leases of owners that have died."""
        lost = [record for record in self._records.values() if record.is_held and record.job.owner in owners]
        for record in lost:
            self._lose(record, "died", max_losses)
        return [record.job for record in lost]

    def _lose(self, record: Record, how: str, max_losses: int) -> None:
        wish = record.job.wish
        record.job = record.job.evolve(fence=record.job.fence + 1, owner=None, message=None)
        if wish is Wish.CANCEL:
            self._end_without_worker(record, JobStatus.CANCELLED, message="cancelled", reason="cancelled")
        elif wish is Wish.PAUSE:
            self._become(record, JobStatus.PAUSED)
        else:
            losses = record.job.losses + 1
            record.job = record.job.evolve(losses=losses)
            message = loss_message(how, losses, max_losses)
            if losses >= max_losses:
                self._end_without_worker(record, JobStatus.FAILED, message=message, reason="lost")
            else:
                self._become(record, JobStatus.PENDING, message=message)

    async def unsettled(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:
        """Return ended jobs that wait to be settled, oldest end first."""
        latest = self.clock() - timedelta(seconds=older_than_seconds)
        ends = [
            (record.ended_at, job_id)
            for job_id, record in self._records.items()
            if record.job.completed_at is not None and record.ended_at is not None and not record.is_settled
        ]
        return [job_id for ended_at, job_id in sorted(ends) if ended_at <= latest][:limit]

    async def settle(self, job_id: str, *, fence: int, archived_seq: int) -> None:
        """Note that an ended job stands in the artifact store."""
        record = self._records.get(job_id)
        if record is None or not record.job.status.is_terminal:
            return
        if (record.job.fence, record.job.last_seq) != (fence, archived_seq):
            return
        record.job = record.job.evolve(archived_seq=archived_seq, archive_fence=fence)
        record.spec, record.events, record.is_settled = None, [], True
        if record.job.status is not JobStatus.FAILED:
            record.answers, record.first_answer = [], 0

    async def delete(self, job_id: str) -> bool:
        """Remove every trace of an ended job."""
        record = self._records.get(job_id)
        if record is None:
            return False
        if not record.job.status.is_terminal:
            raise JobNotFinishedError(job_id, record.job.status)
        del self._records[job_id]
        path = record.job.dataset_path
        if all(other.job.dataset_path != path for other in self._records.values()):
            self._orphans[path] = self.clock()
        return True

    async def due_orphans(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:
        """Return datasets that no job has named for so long, and put each off."""
        now = self.clock()
        latest = now - timedelta(seconds=older_than_seconds)
        orphans = sorted((since, path) for path, since in self._orphans.items())
        paths = [path for since, path in orphans if since <= latest][:limit]
        for path in paths:
            self._orphans[path] = now
            self._leaving[path] = now + timedelta(seconds=LEAVING_SECONDS)
            self._wanted.discard(path)
        return paths

    async def forget_orphan(self, path: str) -> None:
        """Note that a dataset's file was deleted."""
        now = self.clock()
        if self._leaving.get(path, now) > now and path not in self._wanted:
            self._orphans.pop(path, None)

    async def note_orphans(self, paths: Sequence[str], *, in_seconds: float) -> None:
        """Note datasets that no job names."""
        named = {record.job.dataset_path for record in self._records.values()}
        since = self.clock() + timedelta(seconds=in_seconds)
        for path in paths:
            if path not in named:
                self._orphans.setdefault(path, since)
