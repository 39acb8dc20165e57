"""The lists of jobs in memory."""

from datetime import timedelta

from dspy_service.adapters.memory.state import MemoryPart
from dspy_service.domain.job import Job
from dspy_service.domain.job_filter import JobFilter, JobPage


class MemoryJobIndex(MemoryPart):
    """See the port ``JobIndex``; a page of this one is always full when there are enough jobs."""

    async def page(self, tenant: str, *, wanted: JobFilter, after: str | None = None, limit: int = 20) -> JobPage:
        """Return jobs that are older than ``after``, newest first."""
        older = (job_id for job_id in self._records if after is None or job_id < after)
        jobs = (self._records[job_id].job for job_id in sorted(older, reverse=True))
        found = [job for job in jobs if job.tenant == tenant and wanted.passes(job)]
        shown = tuple(found[:limit])
        return JobPage(jobs=shown, has_more=len(found) > limit, last_id=shown[-1].job_id if shown else None)

    async def ended_before(self, *, seconds_ago: float, limit: int = 100) -> list[Job]:
        """Return settled jobs of any tenant whose end is longer ago, oldest first."""
        latest = self.clock() - timedelta(seconds=seconds_ago)
        ended = [
            (record.job.completed_at, record.job.job_id, record.job)
            for record in self._records.values()
            if record.is_settled and record.job.completed_at is not None and record.job.completed_at < latest
        ]
        return [job for *_, job in sorted(ended, key=lambda entry: entry[:2])[:limit]]
