"""``GET /jobs`` and what can be read about one job: everything, the summary, the log, the usage."""

import re
from typing import Annotated

import pydantic_core
from fastapi import APIRouter, Depends, Query, Response
from pydantic import AfterValidator

from dspy_service.api.answers import json_answer
from dspy_service.api.callers import JobsReader
from dspy_service.api.envelope import guarded
from dspy_service.api.job_id import JOB_ID_PATTERN, JobId
from dspy_service.api.query import KnownNames, metadata_filter, metadata_parameter
from dspy_service.api.services import TheQueueRules, TheServices
from dspy_service.domain.events import LogEntry
from dspy_service.domain.job import JobStatus
from dspy_service.domain.job_filter import JobFilter
from dspy_service.domain.usage_view import UsageView
from dspy_service.domain.views import JobList, JobStatusView, JobSummaryView
from dspy_service.usecases.list_jobs import list_jobs
from dspy_service.usecases.read_job import read_logs, read_status, read_summary
from dspy_service.usecases.read_usage import read_usage

router = APIRouter(prefix="/jobs", tags=["jobs"])


def _checked_cursor(after: str) -> str:
    if not re.fullmatch(JOB_ID_PATTERN, after):
        message = "must be the id of a job; take `last_id` of the page before"
        raise ValueError(message)
    return after


@router.get(
    "",
    summary="Your jobs, newest first",
    response_model=JobList,
    responses=guarded(422),
    openapi_extra=metadata_parameter(),
    dependencies=[Depends(KnownNames("limit", "after", "status", "optimizer", metadata=True))],
)
async def index(
    caller: JobsReader,
    services: TheServices,
    rules: TheQueueRules,
    metadata: Annotated[dict[str, str], Depends(metadata_filter)],
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs in this page.")] = 20,
    after: Annotated[
        str | None,
        AfterValidator(_checked_cursor),
        Query(description="`last_id` of the page before.", json_schema_extra={"pattern": f"^{JOB_ID_PATTERN}$"}),
    ] = None,
    status: Annotated[JobStatus | None, Query(description="Only jobs in this state.")] = None,
    optimizer: Annotated[
        str | None,
        Query(min_length=1, max_length=256, description="Only jobs with this optimizer, by any of its names."),
    ] = None,
) -> Response:
    """Return a page of summaries. With filters it may hold fewer than `limit` although `has_more` is true."""
    found = await list_jobs(
        caller.tenant,
        wanted=JobFilter(
            status=status,
            optimizer=None if optimizer is None else services.registry.optimizer_called(optimizer),
            metadata=metadata,
        ),
        after=after,
        limit=limit,
        jobs=services.jobs,
        rules=rules,
    )
    return json_answer(found)


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
    return json_answer(view)


@router.get(
    "/{job_id}/summary",
    summary="A small view, for polling",
    response_model=JobSummaryView,
    responses=guarded(404),
)
async def summary(caller: JobsReader, job_id: JobId, services: TheServices, rules: TheQueueRules) -> Response:
    """Return the record without its history; cheap however long the job has run. A waiting job says why it waits."""
    view = await read_summary(job_id, tenant=caller.tenant, jobs=services.jobs, rules=rules)
    return json_answer(view)


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


@router.get(
    "/{job_id}/usage",
    summary="What its language models cost",
    response_model=UsageView,
    responses=guarded(404, 500),
)
async def usage(caller: JobsReader, job_id: JobId, services: TheServices) -> Response:
    """Return calls, tokens, money and cache hits by role and by model: the newest figures while the job runs."""
    view = await read_usage(
        job_id, tenant=caller.tenant, jobs=services.jobs, artifacts=services.artifacts, secret_key=services.secret_key
    )
    return json_answer(view)
