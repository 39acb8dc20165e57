"""Everything that can go wrong, as one tree.

::

    ServiceError
    ├── InvalidRequestError        the payload is malformed; a list of fields and sentences
    │   └── IdempotencyKeyReusedError  the key came before with another body
    ├── UnsupportedRequestError    well-formed, but asks for something we do not offer
    │   ├── UnknownFilterFieldError
    │   └── EmptyQueryError        a search without a word
    ├── PayloadTooLargeError       a size cap was passed
    ├── UnauthenticatedError       no API key, or one that opens nothing
    ├── ForbiddenError             known, but not for this; also: not from there
    │   └── ScopeMissingError
    ├── TooManyRequestsError       slow down
    │   ├── RateLimitedError
    │   └── QuotaExceededError
    ├── NotFoundError              no such job, or none that this tenant may see
    │   ├── JobNotFoundError
    │   ├── ArtifactNotFoundError
    │   ├── KeyNotFoundError
    │   ├── ProgramNotFoundError
    │   ├── RunNotFoundError
    │   ├── RunLogGoneError        the run is known, but its events are not kept any more
    │   ├── ConversationNotFoundError
    │   ├── CollectionNotFoundError
    │   └── FileNotStoredError     a name in the artifact store that holds nothing
    ├── ConflictError              must wait, or came too late
    │   ├── JobNotFinishedError
    │   ├── JobStateError          the job's state forbids what was asked
    │   ├── ProgramVersionRetiredError
    │   ├── ProgramVersionInUseError
    │   ├── ProgramVersionActiveError
    │   ├── ProgramInUseError
    │   ├── LimitReachedError      as many are kept as may be; something must be deleted first
    │   ├── NothingToRollBackError
    │   ├── TurnOvertakenError     other messages of the conversation were faster
    │   ├── ConversationBusyError
    │   ├── CollectionExistsError
    │   ├── EmbedderChangedError   vectors of two embedders have nothing to say to each other
    │   └── BatchIdReusedError
    ├── PreconditionFailedError    somebody changed it since the caller looked
    │   └── AliasMovedError
    ├── LeaseLostError             another worker owns the job now
    ├── SlowReaderError            a reader of events has fallen too far behind
    ├── ForbiddenAddressError      a webhook's host stands for an address that must not be called
    ├── ArtifactCorruptError       a stored file is not what the service wrote
    ├── SandboxUnavailableError    no live worker confines submitted code as well as it must
    ├── StoreUnavailableError      Redis or the artifact store does not answer
    ├── ConfigurationError         the operator's settings cannot work
    ├── ProtocolError              a peer sent bytes that are not our frames
    └── ModelCallError             a language model call failed; ``kind`` says how

Those about who calls, and how often, stand in ``caller_errors``, those about programs, runs and conversations in
``serving.errors``, those about collections and searches in ``search.errors``. Each class has a stable ``code`` that
clients may match on. Only ``api/errors.py`` knows HTTP statuses.
"""

from collections.abc import Sequence
from typing import ClassVar

from dspy_service.domain.field_problem import FieldProblem


class ServiceError(Exception):
    """The root: anything that this service raises on purpose."""

    code: ClassVar[str] = "service_error"


class InvalidRequestError(ServiceError):
    """The payload is malformed; every problem names its field."""

    code = "invalid_request"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in problems))
        self.problems = tuple(problems)

    @classmethod
    def of(cls, field: str, message: str) -> "InvalidRequestError":
        """Make an error with a single problem."""
        return cls([FieldProblem(field=field, message=message)])


class IdempotencyKeyReusedError(InvalidRequestError):
    """The idempotency key was used before with another body."""

    code = "idempotency_key_reused"

    def __init__(self, key: str) -> None:
        message = f"{key!r} was used with another body; send a new key for a new job"
        super().__init__([FieldProblem(field="Idempotency-Key", message=message)])
        self.key = key


class UnsupportedRequestError(ServiceError):
    """The payload is well-formed but asks for something that cannot be done as asked."""

    code = "unsupported_request"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field

    @classmethod
    def of(cls, field: str, message: str) -> "UnsupportedRequestError":
        """Make an error whose sentence begins with the field."""
        return cls(f"{field}: {message}", field=field)


class PayloadTooLargeError(ServiceError):
    """A size cap was passed."""

    code = "payload_too_large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The request body is larger than {max_bytes} bytes; send fewer or shorter rows.")
        self.max_bytes = max_bytes


class NotFoundError(ServiceError):
    """There is no such thing, or none that this tenant may see."""

    code = "not_found"


class JobNotFoundError(NotFoundError):
    """No job has this id."""

    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id!r}; take the id from the answer of POST /run.")
        self.job_id = job_id


class ArtifactNotFoundError(NotFoundError):
    """The job ended without an artifact."""

    code = "artifact_not_found"

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(f"Job {job_id!r} is {status} and has no artifact; its logs say why.")
        self.job_id = job_id
        self.status = status


class KeyNotFoundError(NotFoundError):
    """The tenant has no API key with this id."""

    code = "key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no API key {key_id!r}; take the id from GET /keys, without the secret.")
        self.key_id = key_id


class FileNotStoredError(NotFoundError):
    """The artifact store holds nothing under this name."""

    code = "file_not_stored"

    def __init__(self, path: str) -> None:
        super().__init__(f"Nothing is stored as {path!r}.")
        self.path = path


class ConflictError(ServiceError):
    """The request cannot be served in the present state."""

    code = "conflict"


class JobNotFinishedError(ConflictError):
    """The job still runs; ask again when its status is terminal."""

    code = "job_not_finished"

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(f"Job {job_id!r} is {status}; its artifact exists once it has ended.")
        self.job_id = job_id
        self.status = status


class JobStateError(ConflictError):
    """The job's state forbids what was asked of it."""

    code = "job_state"

    def __init__(self, job_id: str, status: str, verb: str, advice: str) -> None:
        super().__init__(f"Job {job_id!r} is {status}, so it cannot be {verb}; {advice}.")
        self.job_id = job_id
        self.status = status
        self.verb = verb


class LeaseLostError(ServiceError):
    """Another worker holds the job now; stop and write nothing."""

    code = "lease_lost"

    def __init__(self, job_id: str, fence: int) -> None:
        super().__init__(f"Fence {fence} no longer holds job {job_id!r}.")
        self.job_id = job_id
        self.fence = fence


class SlowReaderError(ServiceError):
    """A reader of events has fallen too far behind; it may come back with the last number that it saw."""

    code = "slow_reader"


class ForbiddenAddressError(ServiceError):
    """The host stands for an address that must not be called."""

    code = "forbidden_address"


class ArtifactCorruptError(ServiceError):
    """A stored file is unsigned, changed, or another job's; nothing was read. ``reason`` is half a sentence."""

    code = "artifact_corrupt"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path!r} is not what this service stored ({reason}), so nothing of it is used; "
            "restore it from a backup, or run the job again."
        )
        self.path = path
        self.reason = reason


class SandboxUnavailableError(ServiceError):
    """Every live worker is below the operator's minimum; nothing was accepted."""

    code = "sandbox_unavailable"

    def __init__(self, minimum: str, level: str, missing: Sequence[str]) -> None:
        super().__init__(
            f"No live worker reaches sandbox level {minimum}, only {level}, so submitted code is not run. "
            f"{' '.join(missing)} Run a worker where {minimum} is available, or let the operator accept less with "
            f"DSPY_SERVICE_SANDBOX_MIN_LEVEL={level}."
        )
        self.minimum = minimum
        self.level = level
        self.missing = tuple(missing)


class StoreUnavailableError(ServiceError):
    """Redis or the artifact store does not answer; whether it heard us is not known.

    Args:
        what: Which store.
        reason: What the operating system says, such as "No space left on device"; None: nothing.
    """

    code = "store_unavailable"

    def __init__(self, what: str, *, reason: str | None = None) -> None:
        trouble = "does not answer" if reason is None else f"cannot be used ({reason})"
        super().__init__(f"The {what} {trouble}. Try again soon; an Idempotency-Key prevents doubled jobs.")
        self.what = what
        self.reason = reason


class ConfigurationError(ServiceError):
    """The operator's settings cannot work; the sentence says which and what to do."""

    code = "configuration_error"


class ProtocolError(ServiceError):
    """A peer sent bytes that are not our frames."""

    code = "protocol_error"


class ModelCallError(ServiceError):
    """A language model call failed.

    ``kind`` is one of ``ModelErrorKind``; ``retry_after_seconds`` is what the provider asked for, if it did.
    """

    code = "model_call_failed"

    def __init__(self, kind: str, message: str, *, model: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.model = model
        self.retry_after_seconds = retry_after_seconds
