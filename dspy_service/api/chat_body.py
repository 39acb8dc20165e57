"""Reads the body of a chat, in the words of each of the forms that share its paths."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from dspy_service.api.problems import FieldError
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.conversation import MAX_OWNER_LENGTH
from dspy_service.domain.serving.run import MultitaskStrategy, OnDisconnect, RunOptions

ChatFormat = Literal["v1", "seed000", "seed001", "seed002", "seed003"]
"""How a stream is written: see ``api.dialects``."""

_MAX_ID = 64
ConversationId = Annotated[str | None, Field(max_length=_MAX_ID)]


class TurnOptions(Schema):
    """How a turn is answered, whether its message is new or answered anew."""

    options: Annotated[
        RunOptions | None, Field(description="How the program is called; null: as its version says.")
    ] = None
    multitask_strategy: Annotated[
        MultitaskStrategy,
        Field(
            description="While an earlier message of the conversation is being answered: `reject` answers 409, "
            "`enqueue` waits, `interrupt` stops that answer and keeps what was written, `rollback` also takes that "
            "message back."
        ),
    ] = "enqueue"
    on_disconnect: Annotated[
        OnDisconnect, Field(description="When nobody reads the answer any more: `cancel` after half a minute.")
    ] = "cancel"
    stream: Annotated[
        bool | None, Field(description="Whether tokens are sent as they come; null: as the path says.")
    ] = None


class ChatRequest(TurnOptions):
    """The body of a chat."""

    message: Annotated[str | None, Field(description="What the user says.")] = None
    question: Annotated[str | None, Field(description="Another name of `message`.")] = None
    conversation_id: Annotated[ConversationId, Field(description="Goes on with it; null: starts one.")] = None
    session_id: Annotated[ConversationId, Field(description="Another name of `conversation_id`.")] = None
    thread_id: Annotated[ConversationId, Field(description="Another name of `conversation_id`.")] = None
    user_id: Annotated[
        str | None,
        Field(
            max_length=MAX_OWNER_LENGTH,
            description="Whose conversation it is, among those of your key's tenant; another's is not found.",
        ),
    ] = None
    program: Annotated[
        str | None,
        Field(
            max_length=200,
            description="`name`, `name@alias` or `name@v3`; null: the conversation's, or else the default program.",
        ),
    ] = None
    inputs: Annotated[
        dict[str, JsonValue] | None, Field(description="Other input fields of the program, beside the message.")
    ] = None
    mode: Annotated[Literal["basic", "deep"], Field(description="`deep` is not served.")] = "basic"

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.message is not None and self.question is not None:
            raise FieldError("question", "is another name of `message`; send one of them")
        if self.message is None and self.question is None and self.inputs is None:
            raise FieldError("message", "is required")
        if len({self.conversation_id, self.session_id, self.thread_id} - {None}) > 1:
            other = "thread_id" if self.session_id in {None, self.conversation_id} else "session_id"
            raise FieldError(other, "is another name of `conversation_id`; send one of them")
        return self

    @property
    def text(self) -> str | None:
        """What the user says; None when all of it stands in ``inputs``."""
        return self.question if self.message is None else self.message

    @property
    def conversation(self) -> str | None:
        """The conversation that it goes on with."""
        return self.conversation_id or self.session_id or self.thread_id

    def format_or(self, named: ChatFormat | None) -> ChatFormat:
        """Return how the stream is written: as the query says, or else in the form whose words the body uses."""
        if named is not None:
            return named
        if self.question is not None:
            return "seed001"
        return "seed003" if self.user_id is None else "seed002"
