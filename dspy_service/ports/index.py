"""Finds a tenant's jobs."""

from typing import Protocol

from dspy_service.domain.job import Job
from dspy_service.domain.job_filter import JobFilter, JobPage


class JobIndex(Protocol):
    """Jobs by tenant, newest first."""

    async def page(self, tenant: str, *, wanted: JobFilter, after: str | None = None, limit: int = 20) -> JobPage:
        """Return jobs that are older than ``after``, newest first.

        The work of one call is bounded: with filters that hardly any job passes, a page may hold fewer than ``limit``
        jobs, or none, and still say that there is more.
        """
        ...

    async def ended_before(self, *, seconds_ago: float, limit: int = 100) -> list[Job]:
        """Return settled jobs of any tenant whose end is longer ago, oldest first; for retention."""
        ...
