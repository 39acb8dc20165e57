"""What a user may ask of a job after it was accepted: cancel, pause, resume, retry."""

from dspy_service.domain.job import Job, Wish
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.find_job import find_job
from dspy_service.usecases.settle_job import settle_job, stored_spec


async def cancel(job_id: str, *, tenant: str, jobs: JobStore) -> Job:
    """End a job with its best program so far; at once when no live worker holds it, else within a heartbeat.

    Asking twice changes nothing.

    Raises:
        JobNotFoundError: this tenant has no such job.
        JobStateError: it has ended otherwise.
    """
    return await _wish(job_id, Wish.CANCEL, tenant, jobs)


async def pause(job_id: str, *, tenant: str, jobs: JobStore) -> Job:
    """Stop a job without ending it; model calls in flight may end first, since they are paid for.

    Asking twice changes nothing.

    Raises:
        JobNotFoundError: this tenant has no such job.
        JobStateError: it has ended, or is being cancelled.
    """
    return await _wish(job_id, Wish.PAUSE, tenant, jobs)


async def resume(job_id: str, *, tenant: str, jobs: JobStore) -> Job:
    """Let a paused job wait for a worker again, which replays its journal; or take the wish for a pause back.

    Asking twice changes nothing.

    Raises:
        JobNotFoundError: this tenant has no such job.
        JobStateError: it has ended, or is being cancelled.
    """
    return await _wish(job_id, Wish.GO_ON, tenant, jobs)


async def retry(
    job_id: str,
    *,
    tenant: str,
    jobs: JobStore,
    artifacts: ArtifactStore,
    secret_key: bytes,
    max_live_jobs: int = 0,
) -> Job:
    """Open a failed job again: a new attempt under the same id, which pays for no model call twice.

    Its end is settled first if it was not, so that what was archived and what comes now are one log. Asking twice
    changes nothing.

    Raises:
        JobNotFoundError: this tenant has no such job.
        JobStateError: it has not failed, or nobody has asked for a retry since it has.
        QuotaExceededError: the tenant has ``max_live_jobs`` jobs that have not ended; 0: any number may be.
        ArtifactCorruptError: what was asked for is not what was signed.
        StoreUnavailableError: it may be open again or not; ask once more.
    """
    job = await find_job(job_id, tenant=tenant, jobs=jobs)
    await settle_job(job_id, jobs=jobs, artifacts=artifacts, secret_key=secret_key)
    spec = await stored_spec(job, jobs=jobs, artifacts=artifacts, secret_key=secret_key)
    return await jobs.reopen(job_id, spec=spec, max_live_jobs=max_live_jobs)


async def _wish(job_id: str, wish: Wish, tenant: str, jobs: JobStore) -> Job:
    await find_job(job_id, tenant=tenant, jobs=jobs)
    return await jobs.wish(job_id, wish)
