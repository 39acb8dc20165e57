"""The canonical events of a run: what every dialect is an encoding of.

``offset`` counts Unicode code points of the field before this text, so that whoever applies an event twice notices.
The contract: for each output field, its last ``replace`` (or nothing) followed by the ``token`` texts after it is the
final value of the field, character by character.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from dspy_service.domain.result import Usage
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.run import CancelReason, FinishReason, RunError, RunStatus
from dspy_service.domain.times import UtcTime


class Started(Schema):
    """The first event, committed before the first byte of any answer."""

    type: Literal["start"] = "start"
    run_id: str
    program: str
    version: int
    model: str
    conversation_id: str | None = None
    message_id: str | None = None


class StatusNoted(Schema):
    """What is being done."""

    type: Literal["status"] = "status"
    stage: Literal["queue", "retrieve", "module", "lm", "tool", "server"]
    phase: Literal["start", "end", "drain"]
    name: str
    message: str
    elapsed_ms: float | None = None


class TokenWritten(Schema):
    """More text of an output field."""

    type: Literal["token", "reasoning"] = "token"
    """``reasoning``: of a field that is not an answer (``reasoning``, ``next_thought``)."""
    field: str
    predictor: str
    """DSPy's name of the predictor in its program; ``self`` when the program is nothing but one."""
    text: str
    offset: Annotated[int, Field(ge=0)]
    turn: Annotated[int, Field(ge=0)] = 0
    """Rises when the same predictor writes the field anew, as in a loop of ReAct."""


class TextReplaced(Schema):
    """The whole text of a field so far; what was sent of it before is void."""

    type: Literal["replace"] = "replace"
    field: str
    predictor: str
    text: str
    turn: Annotated[int, Field(ge=0)] = 0


class FieldDone(Schema):
    """The final value of a field, typed."""

    type: Literal["field_done"] = "field_done"
    field: str
    predictor: str
    value: JsonValue
    turn: Annotated[int, Field(ge=0)] = 0


class SourceCited(Schema):
    """One document that an answer rests on."""

    id: str
    title: str | None = None
    authors: list[str] = Field(default_factory=list)
    year: int | None = None
    score: float | None = None
    snippet: str | None = None


class SourcesFound(Schema):
    """What was retrieved."""

    type: Literal["sources"] = "sources"
    sources: list[SourceCited]


class UsageCounted(Schema):
    """Tokens and money so far."""

    type: Literal["usage"] = "usage"
    usage: Usage


class Predicted(Schema):
    """The whole prediction; always sent before a good end, also when it came from the cache."""

    type: Literal["final"] = "final"
    prediction: dict[str, JsonValue]
    answer: str | None
    """Text of the answer field; None where the program has none."""
    usage: Usage | None
    cached: bool = False
    finish_reason: FinishReason = "stop"


class Failed(Schema):
    """What went wrong; an ``end`` follows."""

    type: Literal["error"] = "error"
    error: RunError
    partial: bool
    """Whether some text was sent before."""


class Cancelled(Schema):
    """Somebody asked for an end; an ``end`` follows."""

    type: Literal["cancelled"] = "cancelled"
    reason: CancelReason


class Ended(Schema):
    """The last event of every run."""

    type: Literal["end"] = "end"
    status: RunStatus


class Snapshot(Schema):
    """All fields up to a number, for a reader whose place in the log is gone; made by a reader, never stored."""

    type: Literal["snapshot"] = "snapshot"
    fields: list[TextReplaced]


RunFact = Annotated[
    Started
    | StatusNoted
    | TokenWritten
    | TextReplaced
    | FieldDone
    | SourcesFound
    | UsageCounted
    | Predicted
    | Failed
    | Cancelled
    | Ended
    | Snapshot,
    Field(discriminator="type"),
]


OUTPUTS = (TokenWritten, TextReplaced, FieldDone, Predicted)
"""Facts that show some of the answer: from the first one on, nobody else can run it anew unnoticed."""


class RunEvent(Schema):
    """A fact as stored: ``seq`` starts at 1 and rises by one per run."""

    seq: Annotated[int, Field(ge=1)]
    timestamp: UtcTime
    fact: RunFact
