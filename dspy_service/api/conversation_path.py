"""The conversation of a path: one that the caller may see."""

from typing import Annotated

from fastapi import Depends, Path, Query

from dspy_service.api.callers import Invoker
from dspy_service.api.services import TheServices
from dspy_service.domain.serving.conversation import MAX_OWNER_LENGTH, Conversation
from dspy_service.usecases.serving.conversations import find_conversation

User = Annotated[
    str | None,
    Query(max_length=MAX_OWNER_LENGTH, description="One of your users: nothing of another one is found."),
]


async def _found(
    caller: Invoker,
    services: TheServices,
    conversation: Annotated[str, Path(description="Its id, as `POST /v1/chat` answered it.")],
    user_id: User = None,
) -> Conversation:
    return await find_conversation(
        conversation, tenant=caller.tenant, owner=user_id, conversations=services.conversations
    )


TheConversation = Annotated[Conversation, Depends(_found)]
"""The argument by which a route asks for it."""
