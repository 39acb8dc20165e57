"""Deletes what is past its time: ended jobs with all their files, and rows that no job names any more."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from dspy_service.domain.errors import JobNotFoundError, JobStateError, StoreUnavailableError
from dspy_service.domain.job import Job
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.delete_job import delete_job
from dspy_service.usecases.patience import Patience

_log: Final = logging.getLogger(__name__)
_DAY_SECONDS: Final = 86_400.0

ORPHAN_SECONDS: Final = 3_600.0
"""A dataset is stored before its job is: it is an orphan only when no job has come for so long."""
DELETE_SECONDS: Final = 30.0
"""Half of the minute for which the store takes no new job that names the dataset."""
_NO_FILE: Final = "datasets/none"
BATCH: Final = 100
MOST_BATCHES: Final = 10
MOST_DATASETS: Final = 1_000


async def sweep_retention(
    *,
    jobs: JobStore,
    artifacts: ArtifactStore,
    retention_days: float,
    patience: Patience = Patience(files_seconds=DELETE_SECONDS),  # noqa: B008  # frozen
) -> None:
    """Delete the rows that nobody needs any more, then jobs that ended longer ago; a bounded number of each.

    Of a job, the files go first and the record after them, as ``delete_job`` says: after a crash the record is still
    there, and the next sweep deletes the rest. Of a dataset, the store forgets the name first, for only then no new job
    can count on the file. A crash between the two leaves that one file behind: so they are taken one at a time, and
    none while the artifact store does not delete.

    Args:
        jobs: Knows what has ended, and which rows are named.
        artifacts: Where the files are.
        retention_days: Since a job's end; 0: jobs are kept for ever.
        patience: With the deletion of rows.

    Raises:
        StoreUnavailableError: the next sweep goes on.
    """
    for _ in range(MOST_DATASETS):
        await artifacts.delete(_NO_FILE)
        paths = await jobs.take_orphans(older_than_seconds=ORPHAN_SECONDS, limit=1)
        if not paths:
            break
        await _delete_dataset(paths[0], artifacts=artifacts, patience=patience)
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


async def _delete_dataset(path: str, *, artifacts: ArtifactStore, patience: Patience) -> None:
    try:
        async with asyncio.timeout(DELETE_SECONDS):
            await patience.for_files(lambda: artifacts.delete(path), is_over=lambda: False)
    except (StoreUnavailableError, TimeoutError) as error:
        _log.warning("No job names %s any more, but it could not be deleted; delete it by hand.", path)
        raise StoreUnavailableError("artifact store") from error
