"""Deletes an ended job with everything that it left behind."""

from dspy_service.domain.artifact_paths import published_folder
from dspy_service.domain.errors import JobNotFinishedError, JobStateError
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.find_job import find_job

_ADVICE = "cancel it first, or wait for its end"


async def delete_job(job_id: str, *, tenant: str, jobs: JobStore, artifacts: ArtifactStore) -> None:
    """Remove files, events and record.

    The record goes last but one, so that a crash leaves a job that can be deleted again. Files are removed once more
    after it: a worker that was just settling the job may have written some in between.

    Raises:
        JobNotFoundError: this tenant has no such job, or no longer.
        JobStateError: it has not ended.
        StoreUnavailableError: some of it may be gone; delete it again.
    """
    job = await find_job(job_id, tenant=tenant, jobs=jobs)
    if not job.status.is_terminal:
        raise JobStateError(job_id, job.status, "deleted", _ADVICE)
    await artifacts.delete_folder(published_folder(job_id))
    try:
        await jobs.delete(job_id)
    except JobNotFinishedError as error:  # a retry was faster
        raise JobStateError(job_id, error.status, "deleted", _ADVICE) from error
    await artifacts.delete_folder(published_folder(job_id))
