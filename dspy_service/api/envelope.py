"""The one shape of every error answer."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from dspy_service.domain.errors import FieldProblem


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
    """Make the answer; the request id is repeated in a header for errors that no middleware sees."""
    body = {"error": error, "detail": detail, "request_id": request_id}
    return JSONResponse(body, status_code=status, headers={**(headers or {}), "x-request-id": request_id})


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says about the error answers of a route."""
    return {status: {"model": ErrorEnvelope, "description": _MEANINGS[status]} for status in statuses}


_MEANINGS = {
    400: "Well-formed, but asks for something that cannot be done as asked.",
    404: "No such job, file or artifact.",
    409: "Cannot be served in the present state; ask again later, or send a new Idempotency-Key.",
    413: "The body is larger than the service accepts.",
    422: "Malformed: every entry of `detail` names a field and what to do.",
    503: "The store does not answer, or no worker can take jobs; nothing was accepted.",
}
