"""The SDK: submit jobs, watch them, load what they made; blocking (``Client``) and asynchronous (``AsyncClient``).

It needs httpx and pydantic only. ``load_program`` also needs ``dspy``, and imports it when it is called.
"""

from dspy_service.client.asynchronous import AsyncClient
from dspy_service.client.blocking import Client
from dspy_service.client.errors import (
    ApiError,
    ClientError,
    JobFailedError,
    NotAllowedError,
    NotFoundError,
    NotYetError,
    ProgramLoadError,
    RequestRejectedError,
    ServiceAddressError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    SourceError,
    SubmissionError,
    TooManyRequestsError,
    UnexpectedAnswerError,
    UnknownConversationError,
    UnknownJobError,
    UnknownProgramError,
    UnknownRunError,
    WaitTimeoutError,
)
from dspy_service.client.programs import materialize_artifact
from dspy_service.client.source import serialize_source

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "JobFailedError",
    "NotAllowedError",
    "NotFoundError",
    "NotYetError",
    "ProgramLoadError",
    "RequestRejectedError",
    "ServiceAddressError",
    "ServiceUnavailableError",
    "ServiceUnreachableError",
    "SourceError",
    "SubmissionError",
    "TooManyRequestsError",
    "UnexpectedAnswerError",
    "UnknownConversationError",
    "UnknownJobError",
    "UnknownProgramError",
    "UnknownRunError",
    "WaitTimeoutError",
    "materialize_artifact",
    "serialize_source",
]
