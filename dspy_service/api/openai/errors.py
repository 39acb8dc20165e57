"""Errors as clients of OpenAI's API read them, on its paths alone."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from dspy_service.api.envelope import guarded
from dspy_service.api.errors import envelope_of, headers_of, status_of, unexpected
from dspy_service.api.headers import request_id_of
from dspy_service.api.problems import friendly
from dspy_service.domain.errors import InvalidRequestError, ServiceError, SlowReaderError, UnsupportedRequestError
from dspy_service.domain.redaction import redact
from dspy_service.domain.serving.errors import ProgramNotFoundError, RunFailedError
from dspy_service.domain.serving.run import RunError

_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}
_NOT_AGAIN = {"x-should-retry": "false"}
"""Its clients repeat whatever failed on our side; a run that failed would fail again, and cost again."""


class OpenAIRoute(APIRoute):
    """A route whose errors have OpenAI's envelope."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which answers for the errors of the route and of what it depends on."""
        handle = super().get_route_handler()

        async def handle_or_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except ServiceError as error:
                return _answer(error)
            except RequestValidationError as error:
                found = [{**each, "loc": each["loc"][1:]} for each in error.errors()]  # the first part is "query"
                return _answer(InvalidRequestError(friendly(found)))
            except HTTPException:
                raise
            except Exception as error:  # noqa: BLE001  # outermost frame of a request: its clients read one envelope
                return _our_fault(request, error)

        return handle_or_explain


class OpenAIErrorObject(BaseModel):
    """What went wrong."""

    message: str
    type: Annotated[str, Field(examples=["invalid_request_error"])]
    param: Annotated[str | None, Field(description="The parameter that is meant.")]
    code: Annotated[str | None, Field(description="A stable word to match on.", examples=["model_not_found"])]
    dspy: Annotated[
        dict[str, Any] | None,
        Field(description="Not OpenAI's, of a run that failed: its id, and what is known of why."),
    ] = None


class OpenAIErrorEnvelope(BaseModel):
    """The one shape of every error answer on these paths."""

    error: OpenAIErrorObject


def explained(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says about the error answers of a route behind the gate."""
    return {status: {**said, "model": OpenAIErrorEnvelope} for status, said in guarded(*statuses).items()}


def error_object(error: ServiceError) -> dict[str, Any]:
    """Return what stands under ``error``."""
    status = _status(error)
    code, _ = envelope_of(error)
    kind = _TYPES.get(HTTPStatus(status), "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "")
    return {
        "message": redact(str(error)),
        "type": kind or "server_error",
        "param": "model" if isinstance(error, ProgramNotFoundError) else _param(error),
        "code": "model_not_found" if isinstance(error, ProgramNotFoundError) else code,
        **({"dspy": _told(error)} if isinstance(error, RunFailedError) else {}),
    }


def run_error_object(run_id: str, error: RunError) -> dict[str, Any]:
    """Return the same for what ended a run."""
    return error_object(RunFailedError(run_id, error))


def trouble_object(error: ServiceError, request_id: str) -> dict[str, Any]:
    """Return the same for what ends the stream of one reader."""
    found = error_object(error)
    code = "slow_consumer" if isinstance(error, SlowReaderError) else found["code"]
    return {**found, "code": code, "request_id": request_id}


def _told(failed: RunFailedError) -> dict[str, Any]:
    """Return what OpenAI has no place for."""
    facts = failed.error.model_dump(mode="json", exclude={"code", "message"}, exclude_none=True)
    return {"run_id": failed.run_id, **facts}


def _answer(error: ServiceError) -> Response:
    status = _status(error)
    headers = dict(headers_of(error) or {})
    if isinstance(error, RunFailedError) and not error.error.retryable:
        headers |= _NOT_AGAIN
    return JSONResponse({"error": error_object(error)}, status_code=status, headers=headers)


def _our_fault(request: Request, error: Exception) -> Response:
    code, sentence = unexpected(request, error)
    told = {"message": sentence, "type": "server_error", "param": None, "code": code}
    request_id = request_id_of(request.scope)
    return JSONResponse({"error": {**told, "request_id": request_id}}, status_code=HTTPStatus.INTERNAL_SERVER_ERROR)


def _status(error: ServiceError) -> int:
    """Return ours, but 400 for what is malformed, as OpenAI answers."""
    status = status_of(error)
    return HTTPStatus.BAD_REQUEST if status == HTTPStatus.UNPROCESSABLE_ENTITY else status


def _param(error: ServiceError) -> str | None:
    if isinstance(error, InvalidRequestError):
        return error.problems[0].field or None
    return error.field or None if isinstance(error, UnsupportedRequestError) else None
