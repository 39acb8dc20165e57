"""``POST /jobs/{job_id}/cancel``, ``/pause``, ``/resume``, ``/retry``, and ``DELETE /jobs/{job_id}``."""

from fastapi import APIRouter, Response

from dspy_service.api.answers import json_answer
from dspy_service.api.callers import JobsWriter
from dspy_service.api.envelope import guarded
from dspy_service.api.job_id import JobId
from dspy_service.api.services import TheQueueRules, TheServices
from dspy_service.domain.job import Job
from dspy_service.domain.queue import QueueRules
from dspy_service.domain.views import JobSummaryView
from dspy_service.usecases import control_job
from dspy_service.usecases.delete_job import delete_job
from dspy_service.usecases.read_job import summarize

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post(
    "/{job_id}/cancel",
    summary="End a job with its best program so far",
    response_model=JobSummaryView,
    responses=guarded(404, 409),
)
async def cancel(caller: JobsWriter, job_id: JobId, services: TheServices, rules: TheQueueRules) -> Response:
    """Ask for the end: at once when no live worker holds the job, else within about a second (`requested`: `cancel`).

    The best program so far is kept as a normal artifact. Asking again changes nothing; 409 when it has ended otherwise.
    """
    job = await control_job.cancel(job_id, tenant=caller.tenant, jobs=services.jobs)
    return await _summary(job, services, rules)


@router.post(
    "/{job_id}/pause",
    summary="Stop a job for a while",
    response_model=JobSummaryView,
    responses=guarded(404, 409),
)
async def pause(caller: JobsWriter, job_id: JobId, services: TheServices, rules: TheQueueRules) -> Response:
    """Stop the job without ending it. Calls of language models that are in flight may end; nothing is paid for twice.

    Asking again changes nothing; 409 when it has ended or is being cancelled.
    """
    job = await control_job.pause(job_id, tenant=caller.tenant, jobs=services.jobs)
    return await _summary(job, services, rules)


@router.post(
    "/{job_id}/resume",
    summary="Let a paused job go on",
    response_model=JobSummaryView,
    responses=guarded(404, 409),
)
async def resume(caller: JobsWriter, job_id: JobId, services: TheServices, rules: TheQueueRules) -> Response:
    """Queue a paused job again, or take back the wish for a pause; any worker continues from where it stopped.

    Asking again changes nothing; 409 when it has ended or is being cancelled.
    """
    job = await control_job.resume(job_id, tenant=caller.tenant, jobs=services.jobs)
    return await _summary(job, services, rules)


@router.post(
    "/{job_id}/retry",
    summary="Try a failed job again",
    response_model=JobSummaryView,
    responses=guarded(404, 409, 500),
)
async def retry(caller: JobsWriter, job_id: JobId, services: TheServices, rules: TheQueueRules) -> Response:
    """Queue a failed job again under the same id. What its models have answered already costs nothing.

    Its losses and the `max_seconds` of its budget count anew; the other bounds are those of all attempts together.
    Asking again changes nothing, also once it runs again; 409 when it never failed, or ended otherwise.
    """
    job = await control_job.retry(
        job_id,
        tenant=caller.tenant,
        jobs=services.jobs,
        artifacts=services.artifacts,
        secret_key=services.secret_key,
        max_live_jobs=0 if caller.is_open else services.settings.tenant_jobs,
    )
    return await _summary(job, services, rules)


@router.delete(
    "/{job_id}",
    summary="Delete an ended job",
    status_code=204,
    response_class=Response,
    responses=guarded(404, 409),
)
async def delete(caller: JobsWriter, job_id: JobId, services: TheServices) -> Response:
    """Remove the job with its events, files and program; 409 while it has not ended."""
    await delete_job(job_id, tenant=caller.tenant, jobs=services.jobs, artifacts=services.artifacts)
    return Response(status_code=204)


async def _summary(job: Job, services: TheServices, rules: QueueRules) -> Response:
    view = await summarize(job, jobs=services.jobs, rules=rules)
    return json_answer(view)
