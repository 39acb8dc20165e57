"""A conversation: an owner's ordered messages with one program."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from dspy_service.domain.result import Usage
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.run_events import SourceCited
from dspy_service.domain.times import UtcTime

MAX_METADATA_PAIRS = 16
MAX_OWNER_LENGTH = 256
MAX_TITLE_LENGTH = 256
MessageStatus = Literal["writing", "complete", "partial", "cancelled", "failed"]
Rating = Literal["up", "down"]


class Feedback(Schema):
    """What somebody thought of an answer."""

    rating: Rating
    comment: Annotated[str | None, Field(max_length=4_000)] = None
    expected: Annotated[
        dict[str, JsonValue] | None,
        Field(description="What output fields should have been; those that are not named stand as they were answered."),
    ] = None


class Message(Schema):
    """One side's words."""

    message_id: str
    conversation_id: str
    role: Literal["user", "assistant"]
    text: str
    """The question, or the answer field."""
    fields: dict[str, JsonValue] = Field(default_factory=dict)
    """All inputs of the turn, or all outputs."""
    sources: list[SourceCited] = Field(default_factory=list)
    usage: Usage | None = None
    run_id: str | None = None
    status: MessageStatus = "complete"
    parent_id: str | None = None
    """The message that it answers, or follows; two with one parent are branches. None: it is the first."""
    feedback: Feedback | None = None
    created_at: UtcTime


class Answer(Schema):
    """What an assistant's message comes to once its run has ended; it is written over what stood there."""

    text: str
    fields: dict[str, JsonValue] = Field(default_factory=dict)
    sources: list[SourceCited] = Field(default_factory=list)
    usage: Usage | None = None
    status: MessageStatus

    @property
    def tokens(self) -> int:
        """How many tokens the models read and wrote."""
        return 0 if self.usage is None else self.usage.total_tokens


class NewConversation(Schema):
    """A conversation before it is recorded."""

    conversation_id: str
    tenant: str
    owner: Annotated[str, Field(max_length=MAX_OWNER_LENGTH)] = ""
    """The ``user_id`` that the tenant gave: a request that names another one finds nothing. Empty: none was given."""
    program: str
    """As it was asked for: a name, or ``name@alias``, which may move between two turns."""
    title: Annotated[str | None, Field(max_length=MAX_TITLE_LENGTH)] = None
    metadata: dict[str, str] = Field(default_factory=dict, max_length=MAX_METADATA_PAIRS)


class Conversation(NewConversation):
    """The record; its messages stand apart."""

    created_at: UtcTime
    updated_at: UtcTime
    message_count: Annotated[int, Field(ge=0)] = 0
    total_tokens: Annotated[int, Field(ge=0)] = 0
    head_id: str | None = None
    """The newest message of the branch that is shown."""
    active_run_id: str | None = None
    """The oldest run that still writes here."""
