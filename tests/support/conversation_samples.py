"""Conversations and messages to put into a store."""

from datetime import UTC, datetime

from dspy_service.domain.result import Usage
from dspy_service.domain.serving.conversation import Answer, Message, NewConversation
from dspy_service.ports.serving.conversations import ConversationStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_new_conversation(
    conversation_id: str = "conv_1", *, tenant: str = "local", owner: str = "", **changes: object
) -> NewConversation:
    fields: dict[str, object] = {
        "conversation_id": conversation_id,
        "tenant": tenant,
        "owner": owner,
        "program": "answers",
    }
    return NewConversation.model_validate({**fields, **changes})


def a_question(number: int, *, conversation_id: str = "conv_1", **changes: object) -> Message:
    fields: dict[str, object] = {
        "message_id": f"u{number}",
        "conversation_id": conversation_id,
        "role": "user",
        "text": f"question {number}",
        "fields": {"question": f"question {number}"},
        "created_at": NOW,
    }
    return Message.model_validate({**fields, **changes})


def a_reply(number: int, *, conversation_id: str = "conv_1", **changes: object) -> Message:
    fields: dict[str, object] = {
        "message_id": f"a{number}",
        "conversation_id": conversation_id,
        "role": "assistant",
        "text": "",
        "run_id": f"run_{number}",
        "status": "writing",
        "created_at": NOW,
    }
    return Message.model_validate({**fields, **changes})


def an_answer(number: int, *, tokens: int = 10, **changes: object) -> Answer:
    fields: dict[str, object] = {
        "text": f"answer {number} é \U0001f600",
        "fields": {"answer": f"answer {number}", "scores": [1.5, {"a": []}]},
        "usage": Usage(total_tokens=tokens),
        "status": "complete",
    }
    return Answer.model_validate({**fields, **changes})


async def talk(store: ConversationStore, *numbers: int, conversation_id: str = "conv_1", tenant: str = "local") -> None:
    """Add turns, each with its answer."""
    for number in numbers:
        question = a_question(number, conversation_id=conversation_id)
        reply = a_reply(number, conversation_id=conversation_id)
        await store.add(tenant, [question, reply])
        await store.answer(tenant, conversation_id, reply.message_id, an_answer(number))


async def ids(store: ConversationStore, *, head_id: str | None = None) -> list[str]:
    """Return the messages of a branch of the conversation ``conv_1``."""
    return [each.message_id for each in await store.messages("local", "conv_1", head_id=head_id)]
