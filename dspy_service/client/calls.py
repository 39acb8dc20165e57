"""One HTTP exchange as a value: what to send, and how to read what comes back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Literal, Protocol, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from dspy_service.client.answers import (
    ApiKeyView,
    ArtifactAnswer,
    CreatedKey,
    EventPage,
    Health,
    JobDetail,
    JobList,
    JobSummary,
    KeyList,
    Submitted,
    UsageView,
    WebhookSecret,
)
from dspy_service.client.errors import (
    ApiError,
    NotAllowedError,
    NotFoundError,
    NotYetError,
    RequestRejectedError,
    ServiceUnavailableError,
    SubmissionError,
    TooManyRequestsError,
    UnexpectedAnswerError,
    UnknownConversationError,
    UnknownJobError,
    UnknownProgramError,
    UnknownRunError,
)
from dspy_service.domain.events import LogEntry
from dspy_service.domain.field_problem import FieldProblem
from dspy_service.domain.keys import Scope

T_co = TypeVar("T_co", covariant=True)
AnswerT = TypeVar("AnswerT", bound=BaseModel)

_REJECTED = {400: RequestRejectedError, 413: RequestRejectedError, 422: RequestRejectedError}
_ERRORS: Mapping[int, type[ApiError]] = {
    **_REJECTED,
    401: NotAllowedError,
    403: NotAllowedError,
    429: TooManyRequestsError,
    404: NotFoundError,
    409: NotYetError,
    502: ServiceUnavailableError,
    503: ServiceUnavailableError,
    504: ServiceUnavailableError,
}
MISSING: Mapping[str, type[NotFoundError]] = {
    "job_not_found": UnknownJobError,
    "artifact_not_found": UnknownJobError,
    "file_not_stored": UnknownJobError,
    "program_not_found": UnknownProgramError,
    "no_default_program": UnknownProgramError,
    "run_not_found": UnknownRunError,
    "run_log_gone": UnknownRunError,
    "conversation_not_found": UnknownConversationError,
}
"""What is not there, by the service's word for it."""
_LOG_ENTRIES = TypeAdapter(list[LogEntry])
_OBJECT = TypeAdapter(dict[str, Any])


class Parse(Protocol[T_co]):
    """Turns the bytes of an answer into a value; raises ``ValueError`` for bytes that are not one."""

    def __call__(self, body: bytes) -> T_co:
        """Return the value."""
        ...


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """One request and how to read its answer. Every call may be sent again, except the making of a key."""

    method: str
    path: str
    parse: Parse[T_co]
    params: Mapping[str, str | int] = field(default_factory=dict)
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answers: frozenset[int] = frozenset({200})
    """Statuses whose body is the answer and not an error."""

    def read(self, response: httpx.Response) -> T_co:
        """Return the parsed answer.

        Raises:
            ApiError: the service refused.
            UnexpectedAnswerError: the body is not what this service sends.
        """
        if response.status_code not in self.answers:
            raise refusal(self.method, self.path, response)
        try:
            return self.parse(response.content)
        except ValueError as error:
            raise UnexpectedAnswerError(self.method, self.path, response.status_code, str(error)) from error


def health() -> Call[Health]:
    """Ask how the service is; an unhealthy one answers 503 with the reason, which is an answer too."""
    return Call("GET", "/health", answer_of(Health), answers=frozenset({200, 503}))


def submit(payload: Mapping[str, object], *, idempotency_key: str) -> Call[Submitted]:
    """Hand in a job; the key makes it safe to send twice.

    Raises:
        SubmissionError: the payload holds something that JSON does not, such as NaN.
    """
    headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
    try:
        content = json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:  # UnicodeEncodeError, half a surrogate pair, is one too
        message = f"The request cannot be written as JSON: {error}."
        raise SubmissionError(message) from error
    return Call("POST", "/run", answer_of(Submitted), content=content, headers=headers)


def status(job_id: str) -> Call[JobDetail]:
    """Ask for the whole record."""
    return Call("GET", _job_path(job_id), answer_of(JobDetail))


def summary(job_id: str) -> Call[JobSummary]:
    """Ask for the small record."""
    return Call("GET", _job_path(job_id, "/summary"), answer_of(JobSummary))


def logs(job_id: str) -> Call[list[LogEntry]]:
    """Ask for every log line."""
    return Call("GET", _job_path(job_id, "/logs"), _parse_logs)


def artifact(job_id: str) -> Call[ArtifactAnswer]:
    """Ask for the compiled program."""
    return Call("GET", _job_path(job_id, "/artifact"), answer_of(ArtifactAnswer))


def artifact_file(job_id: str, name: str) -> Call[bytes]:
    """Ask for one file of the artifact."""
    return Call("GET", _job_path(job_id, f"/artifact/files/{quote(name, safe='')}"), verbatim)


def events(job_id: str, *, after: int, limit: int) -> Call[EventPage]:
    """Ask for a page of events with ``seq > after``."""
    return Call("GET", _job_path(job_id, "/events"), answer_of(EventPage), params={"after": after, "limit": limit})


def usage(job_id: str) -> Call[UsageView]:
    """Ask what the language models have cost."""
    return Call("GET", _job_path(job_id, "/usage"), answer_of(UsageView))


def jobs(params: Mapping[str, str | int]) -> Call[JobList]:
    """Ask for a page of jobs."""
    return Call("GET", "/jobs", answer_of(JobList), params=params)


def steer(job_id: str, verb: Literal["cancel", "pause", "resume", "retry"]) -> Call[JobSummary]:
    """Ask something of a job; asking twice changes nothing."""
    return Call("POST", _job_path(job_id, f"/{verb}"), answer_of(JobSummary))


def delete(job_id: str, *, may_be_gone: bool = False) -> Call[None]:
    """Delete an ended job."""
    return Call("DELETE", _job_path(job_id), nothing, answers=frozenset({204, 404} if may_be_gone else {204}))


def create_key(name: str, scopes: Sequence[Scope], expires_in_seconds: float | None) -> Call[CreatedKey]:
    """Make an API key."""
    body = {"name": name, "scopes": list(scopes), "expires_in_seconds": expires_in_seconds}
    headers = {"Content-Type": "application/json"}
    return Call("POST", "/keys", answer_of(CreatedKey), content=json.dumps(body).encode(), headers=headers)


def keys() -> Call[KeyList]:
    """Ask for all API keys of the tenant."""
    return Call("GET", "/keys", answer_of(KeyList))


def revoke_key(key_id: str) -> Call[ApiKeyView]:
    """Close an API key."""
    return Call("DELETE", f"/keys/{quote(key_id, safe='')}", answer_of(ApiKeyView))


def webhook_secret() -> Call[WebhookSecret]:
    """Ask what signs the webhooks of the tenant."""
    return Call("GET", "/webhooks/secret", answer_of(WebhookSecret))


def _job_path(job_id: str, suffix: str = "") -> str:
    return f"/jobs/{quote(job_id, safe='')}{suffix}"


def answer_of(answer: type[AnswerT]) -> Parse[AnswerT]:
    """Return what reads an answer of this kind; fields that it does not know are ignored."""
    if answer.model_config.get("extra") == "allow":
        return partial(_parse_model, answer, "allow")
    return partial(_parse_model, answer, "ignore")


def _parse_model(answer: type[AnswerT], extra: str, body: bytes) -> AnswerT:
    return answer.model_validate_json(body, extra="allow" if extra == "allow" else "ignore")


def nothing(body: bytes) -> None:  # noqa: ARG001  # whatever it is, it says nothing more than its status
    """Read the answer of a call that has none."""
    return


def as_object(body: bytes) -> dict[str, Any]:
    """Read an answer that is a JSON object of whatever form."""
    return _OBJECT.validate_json(body)


def verbatim(body: bytes) -> bytes:
    """Return an answer as it came."""
    return body


def _parse_logs(body: bytes) -> list[LogEntry]:
    return _LOG_ENTRIES.validate_json(body, extra="ignore")


def refusal(method: str, path: str, response: httpx.Response) -> Exception:
    """Read the service's error envelope ``{"error", "detail", "request_id"}``."""
    try:
        envelope = json.loads(response.content)
        code, detail = envelope["error"], envelope["detail"]
    except (ValueError, KeyError, TypeError) as error:
        return UnexpectedAnswerError(
            method, path, response.status_code, f"no error envelope ({error.__class__.__name__})"
        )
    problems = _problems(detail)
    kind = _ERRORS.get(response.status_code, ApiError)
    if kind is NotFoundError:
        kind = MISSING.get(str(code), kind)
    return kind(
        response.status_code,
        str(code),
        _sentence(detail, problems),
        request_id=envelope.get("request_id"),
        problems=problems,
    )


def _problems(detail: object) -> Sequence[FieldProblem]:
    if not isinstance(detail, list):
        return ()
    try:
        return TypeAdapter(list[FieldProblem]).validate_python(detail)
    except ValidationError:
        return ()  # not our list; the sentence below still shows all of it


def _sentence(detail: object, problems: Sequence[FieldProblem]) -> str:
    if problems:
        return "; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in problems)
    return detail if isinstance(detail, str) else json.dumps(detail)
