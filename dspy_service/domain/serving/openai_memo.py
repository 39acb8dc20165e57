"""What the record of a run keeps for whoever asks for it as a response of OpenAI's API."""

from typing import Literal, Self

from pydantic import Field, JsonValue

from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.chat_fields import ChatFields, Turn


class RememberedTurn(Schema):
    """A turn, as small as a next response needs it."""

    question: str
    answer: str
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    """Only for a program without a question field."""
    outputs: dict[str, JsonValue] = Field(default_factory=dict)
    """Only for a program without an answer field."""

    @classmethod
    def of(cls, turn: Turn, fields: ChatFields) -> Self:
        """Leave out what the texts say."""
        inputs = {name: value for name, value in turn.inputs.items() if name != fields.history}
        return cls(
            question=turn.question,
            answer=turn.answer,
            inputs=inputs if fields.question is None else {},
            outputs=dict(turn.outputs) if fields.answer is None else {},
        )

    def turn(self) -> Turn:
        """Return it as a history takes it."""
        return Turn(self.question, self.answer, self.inputs, self.outputs)


class ResponseMemo(Schema):
    """What a response says of its request, and what a next one goes on from."""

    kind: Literal["response"] = "response"
    background: bool = False
    previous_response_id: str | None = None
    instructions: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    input: list[JsonValue]
    """The items, as they were sent."""
    outputs: list[str] | None = None
    """The reply is a JSON object of these; None: a text."""
    warnings: list[str] = Field(default_factory=list)
    message: str
    """The question that is answered."""
    turns: list[RememberedTurn] = Field(default_factory=list)
    """What was said before it."""
