"""Turns errors into HTTP answers; the only file that knows which error has which status."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from dspy_service.api.envelope import error_answer
from dspy_service.api.headers import request_id_of
from dspy_service.api.problems import friendly
from dspy_service.domain import caller_errors, errors
from dspy_service.domain.field_problem import FieldProblem
from dspy_service.domain.redaction import redact
from dspy_service.domain.search import errors as search_errors
from dspy_service.domain.serving import errors as serving_errors
from dspy_service.domain.serving.run import ErrorCode

_log = logging.getLogger(__name__)

STATUSES: Mapping[type[errors.ServiceError], int] = {
    errors.ServiceError: 500,
    errors.InvalidRequestError: 422,
    errors.IdempotencyKeyReusedError: 422,
    errors.UnsupportedRequestError: 400,
    errors.PayloadTooLargeError: 413,
    caller_errors.UnauthenticatedError: 401,
    caller_errors.ForbiddenError: 403,
    caller_errors.ScopeMissingError: 403,
    caller_errors.TooManyRequestsError: 429,
    caller_errors.RateLimitedError: 429,
    caller_errors.QuotaExceededError: 429,
    errors.NotFoundError: 404,
    errors.KeyNotFoundError: 404,
    errors.JobNotFoundError: 404,
    errors.ArtifactNotFoundError: 404,
    errors.FileNotStoredError: 404,
    errors.ConflictError: 409,
    errors.JobNotFinishedError: 409,
    errors.JobStateError: 409,
    errors.LeaseLostError: 500,
    errors.SlowReaderError: 503,
    errors.ForbiddenAddressError: 400,
    errors.ArtifactCorruptError: 500,
    errors.SandboxUnavailableError: 503,
    errors.StoreUnavailableError: 503,
    errors.ConfigurationError: 500,
    errors.ProtocolError: 500,
    errors.ModelCallError: 502,
    serving_errors.ProgramNotFoundError: 404,
    serving_errors.NoDefaultProgramError: 404,
    serving_errors.RunNotFoundError: 404,
    serving_errors.RunLogGoneError: 404,
    serving_errors.RunFailedError: 502,
    serving_errors.ConversationNotFoundError: 404,
    serving_errors.PreconditionFailedError: 412,
    serving_errors.AliasMovedError: 412,
    serving_errors.ProgramVersionRetiredError: 409,
    serving_errors.ProgramVersionInUseError: 409,
    serving_errors.ProgramVersionActiveError: 409,
    serving_errors.ProgramInUseError: 409,
    serving_errors.LimitReachedError: 409,
    serving_errors.NothingToRollBackError: 409,
    serving_errors.TurnOvertakenError: 409,
    serving_errors.ConversationBusyError: 409,
    search_errors.CollectionNotFoundError: 404,
    search_errors.CollectionExistsError: 409,
    search_errors.EmbedderChangedError: 409,
    search_errors.BatchIdReusedError: 409,
    search_errors.UnknownFilterFieldError: 400,
    search_errors.EmptyQueryError: 400,
}
"""Every class of the tree has its own line, so that a new one is decided and not inherited."""

RUN_STATUSES: Mapping[ErrorCode, int] = {
    "lm_timeout": 504,
    "lm_rate_limited": 429,
    "lm_auth": 502,
    "lm_transport": 502,
    "lm_context_overflow": 400,
    "model_error": 502,
    "adapter_parse": 502,
    "tool_error": 502,
    "retrieval_error": 502,
    "invalid_request": 422,
    "program_error": 500,
    "budget_exceeded": 429,
    "deadline_exceeded": 504,
    "cancelled": 409,
    "worker_lost": 503,
    "overloaded": 503,
    "slow_consumer": 503,
    "internal": 500,
}
"""How a run ended, for the caller who waited for it."""

_RETRY_AFTER_SECONDS = "5"
_INTERNAL = "Something went wrong on our side; the operator finds it in the log under this request id."
_FRAMEWORK_CODES = {404: "not_found", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Register the handlers, those for the framework's own errors included."""
    app.add_exception_handler(errors.ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected_error)


async def _service_error(request: Request, error: Exception) -> Response:
    error = cast("errors.ServiceError", error)  # registered for this class only
    status = status_of(error)
    code, detail = envelope_of(error)
    if status >= 500:  # noqa: PLR2004  # HTTP: a fault of ours
        _log.error("%s for request %s: %s", code, request_id_of(request.scope), error)
    return error_answer(request_id_of(request.scope), status, code, _plain(detail), headers=headers_of(error))


def envelope_of(error: errors.ServiceError) -> tuple[str, str | list[FieldProblem]]:
    """Return what an error answer says: ``error`` and ``detail``."""
    code = error.error.code if isinstance(error, serving_errors.RunFailedError) else error.code
    return code, [*error.problems] if isinstance(error, errors.InvalidRequestError) else redact(str(error))


def _plain(detail: str | list[FieldProblem]) -> str | list[dict[str, str]]:
    return detail if isinstance(detail, str) else [problem.model_dump() for problem in detail]


def status_of(error: errors.ServiceError) -> int:
    """Return the status of the answer."""
    if isinstance(error, serving_errors.RunFailedError):
        return RUN_STATUSES[error.error.code]
    return STATUSES[type(error)]


def headers_of(error: errors.ServiceError) -> Mapping[str, str] | None:
    """Return the headers that say more than the answer's body."""
    if isinstance(error, errors.StoreUnavailableError):
        return {"retry-after": _RETRY_AFTER_SECONDS}
    if isinstance(error, serving_errors.RunFailedError) and error.error.retry_after_seconds is not None:
        return {"retry-after": str(math.ceil(error.error.retry_after_seconds))}
    if isinstance(error, caller_errors.QuotaExceededError) and error.retry_after_seconds is not None:
        return {"retry-after": str(error.retry_after_seconds)}
    if isinstance(error, caller_errors.RateLimitedError):
        return {"retry-after": str(error.retry_after_seconds)}
    if isinstance(error, caller_errors.UnauthenticatedError):
        return {"www-authenticate": 'Bearer realm="dspy-service"'}
    return None


async def _validation_error(request: Request, error: Exception) -> Response:
    """Answer for query parameters, which FastAPI checks itself."""
    found = cast("RequestValidationError", error).errors()
    stripped = [{**each, "loc": each["loc"][1:]} for each in found]  # the first part is "query"
    detail = [problem.model_dump() for problem in friendly(stripped)]
    return error_answer(request_id_of(request.scope), 422, errors.InvalidRequestError.code, detail)


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer for routes and methods that do not exist."""
    error = cast("HTTPException", error)  # registered for this class only
    code = _FRAMEWORK_CODES.get(error.status_code, "http_error")
    detail = f"{request.method} {request.url.path}: {error.detail}."
    if error.status_code == 404:  # noqa: PLR2004  # HTTP
        detail = f"There is nothing at {request.url.path}; /docs lists what there is."
    headers = {"allow": _allowed(request)} if error.status_code == 405 else error.headers  # noqa: PLR2004  # HTTP
    return error_answer(request_id_of(request.scope), error.status_code, code, detail, headers=headers)


def _allowed(request: Request) -> str:
    """Return every method that the path has; the framework names those of the first route alone."""
    routes: Sequence[BaseRoute] = request.app.routes
    return ", ".join(
        method
        for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    )


async def _unexpected_error(request: Request, error: Exception) -> Response:
    """Answer for our own faults, without saying anything about their inside."""
    code, sentence = unexpected(request, error)
    return error_answer(request_id_of(request.scope), 500, code, sentence)


def unexpected(request: Request, error: Exception) -> tuple[str, str]:
    """Log a fault of ours, and return a code and a sentence that say nothing about our inside."""
    _log.error("unexpected error for request %s", request_id_of(request.scope), exc_info=error)
    return "internal_error", _INTERNAL
