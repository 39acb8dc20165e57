"""``POST /run``: submit a job."""

import asyncio
import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from dspy_service.api.envelope import documented
from dspy_service.api.examples import RUN_EXAMPLES
from dspy_service.api.run_request import parse_run_request
from dspy_service.api.services import TheRules, TheServices
from dspy_service.domain.views import RunAccepted
from dspy_service.usecases.submit import Submission, submit

router = APIRouter(tags=["jobs"])

_LARGE_BODY_BYTES = 256 * 1024
"""From here on parsing takes tens of milliseconds, and other requests must not wait for it."""

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/RunRequest"},
                "examples": RUN_EXAMPLES,
            }
        },
    }
}


@router.post(
    "/run",
    summary="Submit an optimization job",
    response_model=RunAccepted,
    responses=documented(400, 409, 413, 422, 503),
    openapi_extra=_BODY,
)
async def run(
    request: Request,
    services: TheServices,
    rules: TheRules,
    idempotency_key: Annotated[
        str | None,
        Header(description="Makes a repeated submission of the same body answer with the first one's job."),
    ] = None,
) -> Response:
    """Check everything without executing any of it, then queue the job.

    Nothing is written when the answer is an error. Ask `GET /v1/jobs/{job_id}/summary` for its progress.
    """
    raw = await request.body()
    is_large = len(raw) > _LARGE_BODY_BYTES
    submission = Submission(
        request=await asyncio.to_thread(parse_run_request, raw) if is_large else parse_run_request(raw),
        body_sha256=hashlib.sha256(raw).hexdigest(),
        idempotency_key=idempotency_key,
    )
    job, is_new = await submit(submission, jobs=services.jobs, datasets=services.artifacts, rules=rules)
    answer = RunAccepted(job_id=job.job_id)
    headers = {} if is_new else {"idempotency-replayed": "true"}
    return Response(answer.model_dump_json(), media_type="application/json", headers=headers)
