"""``GET /jobs/{job_id}`` and its two shorter forms: summary and logs."""

import pydantic_core
from fastapi import APIRouter, Response

from dspy_service.api.callers import JobsReader
from dspy_service.api.envelope import guarded
from dspy_service.api.job_id import JobId
from dspy_service.api.services import TheServices
from dspy_service.domain.events import LogEntry
from dspy_service.domain.views import JobStatusView, JobSummaryView
from dspy_service.usecases.read_job import read_logs, read_status, read_summary

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get(
    "/{job_id}",
    summary="Everything about a job",
    response_model=JobStatusView,
    responses=guarded(404, 500),
)
async def status(caller: JobsReader, job_id: JobId, services: TheServices) -> Response:
    """Return the record with all progress events and logs; `result` is filled once the job has ended."""
    view = await read_status(
        job_id, tenant=caller.tenant, jobs=services.jobs, artifacts=services.artifacts, secret_key=services.secret_key
    )
    return Response(view.model_dump_json(), media_type="application/json")


@router.get(
    "/{job_id}/summary",
    summary="A small view, for polling",
    response_model=JobSummaryView,
    responses=guarded(404),
)
async def summary(caller: JobsReader, job_id: JobId, services: TheServices) -> Response:
    """Return the record without its history; cheap however long the job has run."""
    view = await read_summary(job_id, tenant=caller.tenant, jobs=services.jobs)
    return Response(view.model_dump_json(), media_type="application/json")


@router.get(
    "/{job_id}/logs",
    summary="The whole log, oldest first",
    response_model=list[LogEntry],
    responses=guarded(404, 500),
)
async def logs(caller: JobsReader, job_id: JobId, services: TheServices) -> Response:
    """Return every log line of the job; the same list as `result.run_log`."""
    entries = await read_logs(
        job_id, tenant=caller.tenant, jobs=services.jobs, artifacts=services.artifacts, secret_key=services.secret_key
    )
    return Response(pydantic_core.to_json(entries), media_type="application/json")
