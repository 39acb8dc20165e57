"""One serving turn, apart from any connection: its record, and how it may end.

::

    queued ──► in_progress ──► completed | incomplete | failed | cancelled
       └──────────────────────────────────► failed | cancelled

Terminal states never change.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from dspy_service.domain.result import Usage
from dspy_service.domain.schema import Schema
from dspy_service.domain.times import UtcTime


class RunStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    """The answer was cut off: by a token limit, or by a deadline."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self in TERMINAL_RUNS


TERMINAL_RUNS = frozenset({RunStatus.COMPLETED, RunStatus.INCOMPLETE, RunStatus.FAILED, RunStatus.CANCELLED})

ErrorCode = Literal[
    "lm_timeout",
    "lm_rate_limited",
    "lm_auth",
    "lm_transport",
    "lm_context_overflow",
    "model_error",
    "adapter_parse",
    "tool_error",
    "retrieval_error",
    "invalid_request",
    "program_error",
    "budget_exceeded",
    "deadline_exceeded",
    "cancelled",
    "worker_lost",
    "overloaded",
    "slow_consumer",
    "internal",
]
"""Why a run, or a reader of one, was ended; stable words."""

OnDisconnect = Literal["cancel", "continue"]
MultitaskStrategy = Literal["reject", "enqueue", "interrupt", "rollback"]
"""What a second message does while its conversation has a run: see ``RunRecords.create``."""

CancelReason = Literal["asked", "disconnected", "interrupted", "rolled_back", "deadline"]

FinishReason = Literal["stop", "length", "content_filter"]


class RunError(Schema):
    """What went wrong, in words that may be shown to whoever called."""

    code: ErrorCode
    message: str
    retryable: bool = False
    retry_after_seconds: float | None = None
    model: str | None = None
    """Which model failed, as the version names it; None: none did."""
    kind: str | None = None
    """How it failed: a ``ModelErrorKind``."""


class RunOptions(Schema):
    """How a run is carried out; null: as the version says."""

    temperature: Annotated[float | None, Field(ge=0, le=2, description="Of the model.")] = None
    top_p: Annotated[float | None, Field(gt=0, le=1, description="Of the model.")] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000, description="Of one answer of the model.")] = None
    stop: Annotated[list[str] | None, Field(description="Texts before which the model stops.")] = None
    seed: Annotated[int | None, Field(description="For models that take one.")] = None
    cache: Annotated[
        Literal["use", "bypass", "refresh"], Field(description="Of answers to equal calls of the same tenant.")
    ] = "use"
    instructions: Annotated[
        str | None, Field(description="Added to the program's own, where its version allows that.")
    ] = None
    deadline_seconds: Annotated[float | None, Field(gt=0, description="The run is ended after so long.")] = None


class NewRun(Schema):
    """A run before it is recorded."""

    run_id: str
    tenant: str
    program: str
    version: Annotated[int, Field(ge=1)]
    inputs: dict[str, JsonValue]
    """Input field to value, checked against the version's interface."""
    options: RunOptions = Field(default_factory=RunOptions)
    conversation_id: str | None = None
    message_id: str | None = None
    """Of the assistant's message that it writes."""
    on_disconnect: OnDisconnect = "continue"
    key_id: str | None = None
    """The API key that pays; None in open mode."""
    idempotency_key: str | None = None
    body_sha256: str = ""
    memo: dict[str, JsonValue] = Field(default_factory=dict)
    """What the API that started it must know again when it is asked for the run; nobody else reads it."""


class Run(NewRun):
    """The record: small, and the only truth about a run's state. Times are the store's."""

    status: RunStatus = RunStatus.QUEUED
    created_at: UtcTime
    started_at: UtcTime | None = None
    first_token_at: UtcTime | None = None
    """When the first output was written, of whatever kind."""
    completed_at: UtcTime | None = None
    fence: Annotated[int, Field(ge=0)] = 0
    last_seq: Annotated[int, Field(ge=0)] = 0
    cancel_reason: CancelReason | None = None
    """Why somebody asked for an end; stays when the run ended otherwise before its worker heard of it."""
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    error: RunError | None = None

    @property
    def cancel_wished(self) -> bool:
        """Whether somebody asked for an end."""
        return self.cancel_reason is not None


class RunOutcome(Schema):
    """How a run ended."""

    status: RunStatus
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    error: RunError | None = None
