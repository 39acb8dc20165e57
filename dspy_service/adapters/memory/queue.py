"""The queue of waiting jobs in memory."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from dspy_service.adapters.job_record import FIRST_RING_SECONDS, LONGEST_RING_SECONDS
from dspy_service.adapters.memory.state import MemoryPart, Record
from dspy_service.domain.job import JobStatus
from dspy_service.domain.queue import Place, QueueFigures

_NEVER = datetime.min.replace(tzinfo=UTC)


class MemoryJobQueue(MemoryPart):
    """See the port ``JobQueue``."""

    async def next_job(self, *, tenant_running_jobs: int = 0) -> str | None:
        """Return the job that a free slot should claim now."""
        running, served, first = self._running(), self._served(), self._first_of_each_tenant()
        candidates = [
            (running[tenant], served.get(tenant, _NEVER), record.place_at, record.job.job_id)
            for tenant, record in first.items()
            if not tenant_running_jobs or running[tenant] < tenant_running_jobs
        ]
        return min(candidates)[-1] if candidates else None

    async def place(self, job_id: str) -> Place | None:
        """Return where a waiting job stands."""
        record = self._records.get(job_id)
        if record is None or record.job.status is not JobStatus.PENDING:
            return None
        tenant = record.job.tenant
        mine = sorted(other.order for other in self._waiting() if other.job.tenant == tenant)
        return Place(position=mine.index(record.order) + 1, tenant_running=self._running()[tenant])

    async def figures(self) -> QueueFigures:
        """Return what operators watch."""
        now, waiting = self.clock(), list(self._waiting())
        return QueueFigures(
            waiting=len(waiting),
            running=self._running().total(),
            oldest_waiting_seconds=max(
                (max(0.0, (now - each.job.queued_at).total_seconds()) for each in waiting), default=0
            ),
        )

    async def due(self, *, limit: int) -> list[str]:
        """Return the ids to ring now, longest due first, and put each one's next ring off."""
        now = self.clock()
        waiting = [(r.next_ring_at, job_id) for job_id, r in self._records.items() if r.next_ring_at is not None]
        latest = now + timedelta(seconds=LONGEST_RING_SECONDS)  # those beyond are from before the clock was set back
        ids = [job_id for at, job_id in sorted(waiting) if at <= now or at > latest][:limit]
        for job_id in ids:
            record = self._records[job_id]
            pause_seconds = min(FIRST_RING_SECONDS * 2**record.rings, LONGEST_RING_SECONDS)
            record.rings += 1
            record.next_ring_at = now + timedelta(seconds=pause_seconds)
        return ids

    async def wait_for_submit(self, timeout_seconds: float) -> bool:
        """Wait until a job began to wait, or a slot became free for one, or the time is up."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._submitted.wait()
        except TimeoutError:
            return False
        self._submitted.clear()
        return True

    def _waiting(self) -> Iterable[Record]:
        return (record for record in self._records.values() if record.job.status is JobStatus.PENDING)

    def _running(self) -> Counter[str]:
        """Return how many jobs of each tenant a worker holds."""
        held = {JobStatus.VALIDATING, JobStatus.RUNNING}
        return Counter(record.job.tenant for record in self._records.values() if record.job.status in held)

    def _served(self) -> dict[str, datetime]:
        """Return when a job of each tenant was last claimed."""
        served: dict[str, datetime] = {}
        for record in self._records.values():
            at = record.job.attempt_started_at
            if at is not None:
                served[record.job.tenant] = max(served.get(record.job.tenant, at), at)
        return served

    def _first_of_each_tenant(self) -> dict[str, Record]:
        first: dict[str, Record] = {}
        for record in sorted(self._waiting(), key=lambda each: each.order):
            first.setdefault(record.job.tenant, record)
        return first
