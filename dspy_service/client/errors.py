"""Everything that the SDK raises, as one tree.

::

    ClientError
    ├── SourceError              an object cannot become self-contained source
    ├── SubmissionError          the arguments of ``submit`` cannot become a request
    ├── ServiceAddressError      the address is none
    ├── ServiceUnreachableError  nothing answers at the address
    ├── UnexpectedAnswerError    something answers, but not this service
    ├── ApiError                 the service said no; ``code``, ``detail``, ``request_id``, ``problems``
    │   ├── RequestRejectedError     400, 413 or 422: change the request
    │   ├── NotAllowedError          401 or 403: no API key, one that opens nothing, or one without the scope
    │   ├── NotFoundError            404: what was named is not there
    │   │   ├── UnknownJobError          no such job, artifact or file of one
    │   │   ├── UnknownProgramError      no such program, version or alias; no default program
    │   │   ├── UnknownRunError          no such run, or its events are not kept any more
    │   │   └── UnknownConversationError no such conversation or message, or another user's
    │   ├── NotYetError              409: the job's state forbids it
    │   ├── TooManyRequestsError     429: too often, or too many unfinished jobs
    │   └── ServiceUnavailableError  502, 503 or 504: try again later
    ├── WaitTimeoutError         the job still runs after the time that ``wait`` was given
    ├── JobFailedError           the job ended ``failed`` or ``cancelled``; carries the user's traceback
    └── ProgramLoadError         the artifact cannot become a program here
"""

from collections.abc import Sequence

from dspy_service.domain.field_problem import FieldProblem


class ClientError(Exception):
    """The root: anything that the SDK raises on purpose."""


class SourceError(ClientError):
    """An object cannot become self-contained source; ``name`` is what stands in the way."""

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class SubmissionError(ClientError):
    """The arguments of ``submit`` cannot become a request."""


class ServiceAddressError(ClientError):
    """The service's address is not one that a request can go to."""

    def __init__(self, base_url: str) -> None:
        super().__init__(f"{base_url!r} is no address of a service; write it as http://127.0.0.1:8000.")
        self.base_url = base_url


class ServiceUnreachableError(ClientError):
    """Nothing answers at the service's address."""

    def __init__(self, base_url: str, reason: str) -> None:
        super().__init__(f"No answer from {base_url} ({reason}); start the service with `python main.py`.")
        self.base_url = base_url


class UnexpectedAnswerError(ClientError):
    """Something answers at the address, but not as this service does."""

    def __init__(self, method: str, path: str, status_code: int, reason: str) -> None:
        super().__init__(f"{method} {path} answered {status_code} with something else than expected: {reason}")
        self.status_code = status_code


class ApiError(ClientError):
    """The service refused a request.

    Attributes:
        status_code: The HTTP status.
        code: The service's stable word, for example ``invalid_request``.
        detail: One sentence.
        request_id: Names the request in the service's own logs.
        problems: What is wrong field by field; empty unless the payload was malformed.
    """

    def __init__(
        self,
        status_code: int,
        code: str,
        detail: str,
        *,
        request_id: str | None = None,
        problems: Sequence[FieldProblem] = (),
    ) -> None:
        super().__init__(f"{code} ({status_code}): {detail}")
        self.status_code = status_code
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.problems = tuple(problems)


class RequestRejectedError(ApiError):
    """The request itself is wrong (400, 413 or 422); sending it again changes nothing."""


class NotAllowedError(ApiError):
    """The service wants an API key (401), or another one (403); see ``api_key`` of the client."""


class TooManyRequestsError(ApiError):
    """Too many requests, or too many jobs that have not ended (429)."""


class NotFoundError(ApiError):
    """What the request names is not there, or another tenant's (404)."""


class UnknownJobError(NotFoundError):
    """There is no such job, or the job has no artifact."""


class UnknownProgramError(NotFoundError):
    """There is no such program, version or alias, or none that a call without a name could mean."""


class UnknownRunError(NotFoundError):
    """There is no such run, or its events are not kept any more."""


class UnknownConversationError(NotFoundError):
    """There is no such conversation or message, or it is another user's."""


class NotYetError(ApiError):
    """The job's present state forbids it (409), for example an artifact before the job has ended."""


class ServiceUnavailableError(ApiError):
    """The service cannot take requests at the moment (502, 503 or 504)."""


class WaitTimeoutError(ClientError):
    """The job still runs; it goes on, only the waiting ended."""

    def __init__(self, job_id: str, status: str, timeout_seconds: float) -> None:
        super().__init__(f"Job {job_id} is still {status} after {timeout_seconds:g} s; wait again, it goes on.")
        self.job_id = job_id
        self.status = status


class JobFailedError(ClientError):
    """The job ended without success.

    Attributes:
        job_id: Whose.
        status: ``failed`` or ``cancelled``.
        reason: The job's one-line message.
        termination_reason: Why it ended, for example ``error`` or ``lost``.
        traceback: The submitted code's own traceback, when that is what failed.
    """

    def __init__(
        self,
        job_id: str,
        status: str,
        reason: str,
        *,
        termination_reason: str | None = None,
        traceback: str | None = None,
    ) -> None:
        super().__init__(f"Job {job_id} {status}: {reason}" + (f"\n\n{traceback}" if traceback else ""))
        self.job_id = job_id
        self.status = status
        self.reason = reason
        self.termination_reason = termination_reason
        self.traceback = traceback


class ProgramLoadError(ClientError):
    """The artifact cannot become a program on this machine."""
