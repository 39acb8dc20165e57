"""Lists a tenant's jobs."""

from dspy_service.domain.job_filter import JobFilter
from dspy_service.domain.queue import QueueRules
from dspy_service.domain.views import JobList, view_summary
from dspy_service.ports import JobStore
from dspy_service.usecases.explain_waiting import explain_waiting


async def list_jobs(
    tenant: str, *, wanted: JobFilter, after: str | None, limit: int, jobs: JobStore, rules: QueueRules
) -> JobList:
    """Return a page of jobs that are older than ``after``, newest first.

    Args:
        tenant: Whose jobs.
        wanted: Which of them.
        after: Where the page before ended; None: start with the newest.
        limit: Most jobs of the page; with filters there may be fewer, and still more behind them.
        jobs: The records.
        rules: Explain why some of them wait.
    """
    page = await jobs.page(tenant, wanted=wanted, after=after, limit=limit)
    now = await jobs.now()
    waiting = await explain_waiting(page.jobs, jobs=jobs, rules=rules, now=now)
    data = [view_summary(job, now, why) for job, why in zip(page.jobs, waiting, strict=True)]
    return JobList(data=data, has_more=page.has_more, last_id=page.last_id)
