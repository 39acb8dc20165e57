"""The answers of the HTTP API about conversations and chat."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from dspy_service.domain.result import Usage
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.conversation import Conversation, Message
from dspy_service.domain.serving.run import FinishReason, RunStatus
from dspy_service.domain.times import UtcTime


class ConversationView(Schema):
    """A conversation without its messages."""

    conversation_id: str
    user_id: Annotated[str, Field(description="As it was given at the start; empty: none was.")]
    program: str
    title: str | None
    metadata: dict[str, str]
    created_at: UtcTime
    updated_at: UtcTime
    message_count: Annotated[int, Field(description="Of all branches.")]
    total_tokens: Annotated[int, Field(description="That models read and wrote for it.")]
    head_id: Annotated[str | None, Field(description="The newest message of the branch that is shown.")]
    active_run_id: Annotated[str | None, Field(description="The oldest run that still writes in it.")]


class ConversationDetail(ConversationView):
    """A conversation with the newest messages of one branch, oldest first."""

    messages: list[Message]


class ConversationList(Schema):
    """A page of conversations, the one that changed last first."""

    object: Literal["list"] = "list"
    data: list[ConversationView]
    conversations: Annotated[list[str], Field(description="Their ids.")]
    has_more: bool
    last_id: Annotated[str | None, Field(description="Ask for what is `after` it.")]


class ConversationDeleted(Schema):
    """The answer to a deletion."""

    status: Literal["deleted"] = "deleted"
    conversation_id: str


class ChatAnswer(Schema):
    """One answered message."""

    response: Annotated[str, Field(description="The answer field; of a program that has none, all outputs as JSON.")]
    conversation_id: str
    sources: Annotated[list[str], Field(description="What the answer rests on.")]
    tokens_used: Annotated[int, Field(description="That models read and wrote for this answer.")]
    message_id: str
    run_id: str
    program: str
    version: int
    status: Annotated[RunStatus, Field(description="`completed`; `incomplete`: the model reached its token limit.")]
    prediction: Annotated[dict[str, JsonValue], Field(description="Output field to value.")]
    usage: Usage | None
    cached: bool
    finish_reason: FinishReason


class BasicAnswer(Schema):
    """One answered message, in the smallest form."""

    answer: str
    sources: list[str]
    session_id: Annotated[str, Field(description="Send it to go on.")]
    message_id: str
    run_id: str


def view_conversation(conversation: Conversation) -> ConversationView:
    """Return what may be shown of a record."""
    return ConversationView(**_shown(conversation))


def view_detail(conversation: Conversation, messages: Sequence[Message]) -> ConversationDetail:
    """Return a conversation with messages."""
    return ConversationDetail(**_shown(conversation), messages=list(messages))


def view_conversations(found: Sequence[Conversation], *, has_more: bool) -> ConversationList:
    """Return a page."""
    ids = [each.conversation_id for each in found]
    return ConversationList(
        data=[view_conversation(each) for each in found],
        conversations=ids,
        has_more=has_more,
        last_id=ids[-1] if ids else None,
    )


def _shown(conversation: Conversation) -> dict[str, Any]:
    names = (name for name in ConversationView.model_fields if name != "user_id")
    return {"user_id": conversation.owner, **{name: getattr(conversation, name) for name in names}}
