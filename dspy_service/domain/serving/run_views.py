"""The answers of the HTTP API about runs."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import Field, JsonValue

from dspy_service.domain.field_problem import FieldProblem
from dspy_service.domain.result import Usage
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.run import CancelReason, FinishReason, OnDisconnect, Run, RunError, RunStatus
from dspy_service.domain.serving.run_events import Predicted, RunEvent
from dspy_service.domain.times import UtcTime, write_utc


class PredictionView(Schema):
    """What a program answered."""

    run_id: str
    program: str
    version: int
    status: Annotated[RunStatus, Field(description="`completed`; `incomplete`: the model reached its token limit.")]
    prediction: Annotated[dict[str, JsonValue], Field(description="Output field to value.")]
    answer: Annotated[str | None, Field(description="Text of the answer field; null where there is none.")]
    usage: Usage | None
    cached: Annotated[bool, Field(description="Whether no model was called: an equal call was answered before.")]
    finish_reason: FinishReason


class ItemProblem(Schema):
    """Why one item of a batch has no answer; as the error of a single call."""

    error: str
    detail: str | list[FieldProblem]
    run_id: str | None = None


class BatchItem(Schema):
    """One item: either an answer or a problem."""

    index: int
    result: PredictionView | None = None
    problem: ItemProblem | None = None


class BatchView(Schema):
    """The answers to a batch, in its order."""

    object: Literal["list"] = "list"
    data: list[BatchItem]
    failed: Annotated[int, Field(description="Items with a problem.")]


class RunView(Schema):
    """A run: one call of a program."""

    run_id: str
    program: str
    version: int
    status: RunStatus
    inputs: dict[str, JsonValue]
    conversation_id: str | None
    message_id: str | None
    on_disconnect: OnDisconnect
    created_at: UtcTime
    started_at: UtcTime | None
    first_token_at: UtcTime | None
    completed_at: UtcTime | None
    last_seq: Annotated[int, Field(description="Number of its newest event.")]
    cancel_reason: Annotated[CancelReason | None, Field(description="Why it was asked to end; null: it was not.")]
    usage: Usage | None
    finish_reason: FinishReason | None
    error: RunError | None
    prediction: Annotated[
        dict[str, JsonValue] | None,
        Field(description="Output field to value; null before the end, and when it is not kept any more."),
    ] = None


class RunEventPage(Schema):
    """Events of a run, oldest first; each as `data` of the stream has it."""

    object: Literal["list"] = "list"
    data: Annotated[
        list[dict[str, Any]], Field(description="`seq`, `run_id`, `timestamp`, `type`, and what belongs to the type.")
    ]
    has_more: bool
    last_id: Annotated[int, Field(description="Ask for what is after it.")]


class TroubleView(Schema):
    """Why a reader's stream ends."""

    code: str
    message: str
    retryable: bool


class ReaderTrouble(Schema):
    """What a reader is told whose stream ends before the run does."""

    error: TroubleView
    request_id: str | None = None


def view_prediction(run: Run, predicted: Predicted, status: RunStatus) -> PredictionView:
    """Return what a caller is answered."""
    return PredictionView(
        run_id=run.run_id,
        program=run.program,
        version=run.version,
        status=status,
        prediction=predicted.prediction,
        answer=predicted.answer,
        usage=predicted.usage,
        cached=predicted.cached,
        finish_reason=predicted.finish_reason,
    )


def view_run(run: Run, predicted: Predicted | None = None) -> RunView:
    """Return what may be shown of a record."""
    shown = {name: getattr(run, name) for name in RunView.model_fields if name != "prediction"}
    return RunView(**shown, prediction=None if predicted is None else predicted.prediction)


def flat_event(event: RunEvent, run_id: str) -> dict[str, Any]:
    """Return an event as one object: its number, run and time before the fact."""
    head = {"seq": event.seq, "run_id": run_id, "timestamp": write_utc(event.timestamp)}
    return head | event.fact.model_dump(mode="json")


def view_events(events: Sequence[RunEvent], *, run_id: str, after: int, has_more: bool) -> RunEventPage:
    """Return a page."""
    return RunEventPage(
        data=[flat_event(event, run_id) for event in events],
        has_more=has_more,
        last_id=events[-1].seq if events else after,
    )


def read_event(data: str) -> RunEvent | ReaderTrouble:
    """Read what ``flat_event`` made, after it was JSON; unknown fields are ignored.

    Raises:
        ValueError: it is neither an event nor a reader's trouble.
    """
    flat = pydantic_core.from_json(data)
    if not isinstance(flat, dict) or "seq" not in flat:
        return ReaderTrouble.model_validate_json(data, extra="ignore")
    fact = {name: value for name, value in flat.items() if name not in {"seq", "timestamp"}}
    nested = pydantic_core.to_json({"seq": flat["seq"], "timestamp": flat.get("timestamp"), "fact": fact})
    return RunEvent.model_validate_json(nested, extra="ignore")
