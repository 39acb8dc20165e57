"""Deletes what is past its time: ended jobs with all their files, and rows that no job names any more."""

import logging
from collections.abc import Sequence
from typing import Final

from dspy_service.domain.errors import JobNotFoundError, JobStateError, StoreUnavailableError
from dspy_service.domain.job import Job
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.delete_job import delete_job
from dspy_service.usecases.patience import Patience
from dspy_service.usecases.sweep_datasets import DELETE_SECONDS, sweep_datasets

_log: Final = logging.getLogger(__name__)
_DAY_SECONDS: Final = 86_400.0

BATCH: Final = 100
MOST_BATCHES: Final = 10


async def sweep_retention(
    *,
    jobs: JobStore,
    artifacts: ArtifactStore,
    retention_days: float,
    patience: Patience = Patience(files_seconds=DELETE_SECONDS),  # noqa: B008  # frozen
) -> None:
    """Delete the rows that nobody needs any more, then jobs that ended longer ago; a bounded number of each.

    Of a job, the files go first and the record after them, as ``delete_job`` says: after a crash the record is still
    there, and the next sweep deletes the rest.

    Args:
        jobs: Knows what has ended, and which rows are named.
        artifacts: Where the files are.
        retention_days: Since a job's end; 0: jobs are kept for ever.
        patience: With the deletion of rows.

    Raises:
        StoreUnavailableError: the next sweep goes on.
    """
    await sweep_datasets(jobs=jobs, artifacts=artifacts, patience=patience)
    if retention_days > 0:
        for _ in range(MOST_BATCHES):
            old = await jobs.ended_before(seconds_ago=retention_days * _DAY_SECONDS, limit=BATCH)
            if not await _delete_jobs(old, jobs=jobs, artifacts=artifacts):
                break


async def _delete_jobs(old: Sequence[Job], *, jobs: JobStore, artifacts: ArtifactStore) -> bool:
    """Return whether any is gone; one whose files cannot be removed must not keep the others."""
    kept: list[tuple[Job, StoreUnavailableError]] = []
    for job in old:
        try:
            await delete_job(job.job_id, tenant=job.tenant, jobs=jobs, artifacts=artifacts)
        except StoreUnavailableError as error:
            kept.append((job, error))
        except (JobNotFoundError, JobStateError):
            continue  # another worker was faster, or its user opened it again
    if kept and len(kept) == len(old):
        raise kept[0][1]
    for job, reason in kept:
        _log.warning("Job %s is past its time, and cannot be deleted yet: %s", job.job_id, reason)
    return len(old) > len(kept)
