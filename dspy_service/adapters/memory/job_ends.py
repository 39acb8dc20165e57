"""The job records in memory: wishes, lost leases, and what becomes of an ended job."""

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
        elif job.status is not aim:
            if job.status.is_terminal:
                raise wish_refused(job_id, job.status, wish=wish, pending=Wish.GO_ON)
            if aim is JobStatus.CANCELLED:
                self._end_without_worker(record, aim, message="cancelled", reason="cancelled")
            else:
                self._become(record, aim)
        return record.job

    async def reopen(self, job_id: str, *, spec: JobSpec) -> Job:
        """Move a failed job back to ``pending``."""
        record = self._record(job_id)
        status = record.job.status
        if status is JobStatus.FAILED and record.is_settled:
            record.job = record.job.evolve(
                fence=record.job.fence + 1,
                losses=0,
                owner=None,
                best=None,
                message=None,
                result_path=None,
                result_fence=0,
                has_artifact=False,
                completed_at=None,
                termination_reason=None,
            )
            record.spec, record.is_settled = spec, False
            self._become(record, JobStatus.PENDING)
        elif status.is_terminal or status is JobStatus.PAUSED:
            raise retry_refused(job_id, status)
        return record.job

    async def reap(self, *, lease_seconds: float, max_losses: int, limit: int = 100) -> list[Job]:
        """End every lease that has expired."""
        now = self.clock()
        if now - self.started_at < timedelta(seconds=lease_seconds):
            return []
        leases = [(r.leased_until, job_id) for job_id, r in self._records.items() if r.leased_until is not None]
        expired = [self._records[job_id] for leased_until, job_id in sorted(leases) if leased_until <= now][:limit]
        for record in expired:
            self._lose(record, max_losses)
        return [record.job for record in expired]

    def _lose(self, record: Record, max_losses: int) -> None:
        job, stopped_at = record.job, record.beat_at
        losses, wish = job.losses + 1, job.wish
        message = loss_message(job.owner, losses, max_losses)
        record.job = job.evolve(losses=losses, fence=job.fence + 1, owner=None)
        if wish is Wish.CANCEL:
            self._end_without_worker(
                record, JobStatus.CANCELLED, message=message, reason="cancelled", stopped_at=stopped_at
            )
        elif wish is Wish.PAUSE:
            self._become(record, JobStatus.PAUSED, message=message, stopped_at=stopped_at)
        elif losses >= max_losses:
            self._end_without_worker(record, JobStatus.FAILED, message=message, reason="lost", stopped_at=stopped_at)
        else:
            self._become(record, JobStatus.PENDING, message=message, stopped_at=stopped_at)

    async def unsettled(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:
        """Return ended jobs that wait to be settled, oldest end first."""
        latest = self.clock() - timedelta(seconds=older_than_seconds)
        ends = [
            (record.job.completed_at, job_id)
            for job_id, record in self._records.items()
            if record.job.completed_at is not None and not record.is_settled and record.job.completed_at <= latest
        ]
        return [job_id for _, job_id in sorted(ends)[:limit]]

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

    async def take_orphans(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:
        """Return datasets that no job has named for so long, and forget them."""
        now = self.clock()
        latest = now - timedelta(seconds=older_than_seconds)
        orphans = sorted((since, path) for path, since in self._orphans.items())
        paths = [path for since, path in orphans if since <= latest][:limit]
        for path in paths:
            del self._orphans[path]
            self._leaving[path] = now + timedelta(seconds=LEAVING_SECONDS)
        return paths
