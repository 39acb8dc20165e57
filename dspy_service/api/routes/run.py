"""``POST /run``: submit a job."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from dspy_service.api.answers import json_answer
from dspy_service.api.bodies import json_body, parse_body
from dspy_service.api.callers import JobsWriter
from dspy_service.api.envelope import guarded
from dspy_service.api.examples import RUN_EXAMPLES
from dspy_service.api.services import TheRules, TheServices
from dspy_service.domain.spec import RunRequest
from dspy_service.domain.views import RunAccepted
from dspy_service.usecases.submit import Submission, submit

router = APIRouter(tags=["jobs"])


@router.post(
    "/run",
    summary="Submit an optimization job",
    response_model=RunAccepted,
    responses=guarded(400, 413, 422),
    openapi_extra=json_body(RunRequest, RUN_EXAMPLES),
)
async def run(
    caller: JobsWriter,
    request: Request,
    services: TheServices,
    rules: TheRules,
    idempotency_key: Annotated[
        str | None,
        Header(description="Makes a repeated submission of the same body answer with the first one's job, for a day."),
    ] = None,
) -> Response:
    """Check everything without executing any of it, then queue the job.

    No job exists after an answer 4xx; after a 503, ask again with the same `Idempotency-Key`. Ask
    `GET /v1/jobs/{job_id}/summary` for its progress.
    """
    raw = await request.body()
    submission = Submission(
        request=await parse_body(raw, RunRequest, max_depth=services.settings.max_json_depth),
        body_sha256=hashlib.sha256(raw).hexdigest(),
        idempotency_key=idempotency_key,
        tenant=caller.tenant,
        max_live_jobs=0 if caller.is_open else services.settings.tenant_jobs,
    )
    job, is_new = await submit(submission, jobs=services.jobs, datasets=services.artifacts, rules=rules)
    answer = RunAccepted(job_id=job.job_id)
    headers = {} if is_new else {"idempotency-replayed": "true"}
    return json_answer(answer, headers=headers)
