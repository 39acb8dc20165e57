"""The one shape of every error answer."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from dspy_service.api.headers import SECURITY_HEADERS
from dspy_service.domain.field_problem import FieldProblem


class ErrorEnvelope(BaseModel):
    """What went wrong, for programs (``error``) and for people (``detail``)."""

    error: Annotated[str, Field(description="A stable word to match on.", examples=["unsupported_request"])]
    detail: Annotated[
        str | list[FieldProblem], Field(description="A sentence; for invalid_request a list of fields and sentences.")
    ]
    request_id: Annotated[str, Field(description="Also in the X-Request-ID header; name it when you ask for help.")]


def error_answer(
    request_id: str,
    status: int,
    error: str,
    detail: str | list[dict[str, str]],
    *,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Make the answer; its headers are complete, because no middleware sees the answer to an unexpected error."""
    body = {"error": error, "detail": detail, "request_id": request_id}
    return JSONResponse(
        body, status_code=status, headers={**SECURITY_HEADERS, **(headers or {}), "x-request-id": request_id}
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says about the error answers of a route."""
    return {status: {"model": ErrorEnvelope, "description": _MEANINGS[status]} for status in statuses}


def guarded(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the same for a route behind the gate."""
    return documented(*sorted({*statuses, *_AT_THE_GATE}))


_AT_THE_GATE = (401, 403, 429, 503)

_MEANINGS = {
    400: "Well-formed, but asks for something that cannot be done as asked.",
    401: "An API key is needed, and none was sent that opens this service.",
    403: "The API key has not the scope that this route needs; in open mode: the request came from elsewhere.",
    404: "No such job, file, artifact, key, program or run.",
    409: "The job's present state forbids it; `detail` says what to do.",
    412: "Somebody changed it since you looked: read it again, and decide anew.",
    413: "The body is larger than the service accepts.",
    422: "Malformed: every entry of `detail` names a field and what to do. `idempotency_key_reused`: send a new key.",
    429: "Too many requests (`rate_limited`, with Retry-After), or too many live jobs or runs (`quota_exceeded`).",
    500: "A stored file is not what the service wrote (`artifact_corrupt`), or a program failed (`program_error`).",
    502: "The model, or a tool of the program, failed; `error` says how, `detail` of a model its name and its words.",
    503: "The store does not answer, or no worker can take jobs.",
    504: "The model took too long.",
}
