"""``GET /jobs/{job_id}/artifact``: the compiled program, inline or file by file."""

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from dspy_service.api.answers import json_answer
from dspy_service.api.callers import ArtifactsReader
from dspy_service.api.envelope import guarded
from dspy_service.api.job_id import JobId
from dspy_service.api.services import TheServices
from dspy_service.domain.views import ArtifactView
from dspy_service.usecases.read_artifact import open_artifact_file, read_artifact

router = APIRouter(prefix="/jobs", tags=["artifacts"])

_MEDIA_TYPES = {"json": "application/json", "jsonl": "application/x-ndjson"}


@router.get(
    "/{job_id}/artifact",
    summary="The compiled program, inline",
    response_model=ArtifactView,
    responses=guarded(404, 409, 500),
)
async def artifact(caller: ArtifactsReader, job_id: JobId, services: TheServices) -> Response:
    """Return the pickle (Base64) and its metadata; 409 while the job runs, 404 when it ended without a program."""
    view = await read_artifact(
        job_id, tenant=caller.tenant, jobs=services.jobs, artifacts=services.artifacts, secret_key=services.secret_key
    )
    return json_answer(view)


@router.get(
    "/{job_id}/artifact/files/{name}",
    summary="One file of the artifact, streamed",
    response_class=Response,
    responses={
        **guarded(404, 409, 500),
        200: {"content": {"application/octet-stream": {}}, "description": "The file."},
    },
)
async def artifact_file(caller: ArtifactsReader, job_id: JobId, name: str, services: TheServices) -> StreamingResponse:
    """Stream `program.pkl`, `program.json`, `metadata.json`, `result.json` or `events.jsonl` of an ended job."""
    pieces = await open_artifact_file(
        job_id,
        name,
        tenant=caller.tenant,
        jobs=services.jobs,
        artifacts=services.artifacts,
        secret_key=services.secret_key,
    )
    media_type = _MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
    headers = {"content-disposition": f'attachment; filename="{name}"'}  # the name is one of PUBLIC_FILES by now
    return StreamingResponse(pieces, media_type=media_type, headers=headers)
