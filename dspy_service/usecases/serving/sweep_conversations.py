"""Deletes conversations in which nothing has changed for longer than the operator keeps them."""

from contextlib import suppress
from typing import Final

from dspy_service.domain.serving.errors import ConversationNotFoundError
from dspy_service.ports.serving.conversations import ConversationStore
from dspy_service.ports.serving.runs import RunStore
from dspy_service.usecases.serving.conversations import delete_conversation

_DAY_SECONDS: Final = 86_400.0

BATCH: Final = 100
MOST_BATCHES: Final = 100


async def sweep_conversations(*, conversations: ConversationStore, runs: RunStore, retention_days: float) -> None:
    """Delete conversations that are past their time, as their users could; a bounded number of them.

    Args:
        conversations: Where they are.
        runs: Those that still write in one are asked to end.
        retention_days: Since the last change of a conversation; 0: they are kept for ever.

    Raises:
        StoreUnavailableError: the next sweep goes on.
    """
    if retention_days <= 0:
        return
    for _ in range(MOST_BATCHES):
        old = await conversations.unchanged(seconds=retention_days * _DAY_SECONDS, limit=BATCH)
        for tenant, conversation_id in old:
            with suppress(ConversationNotFoundError):  # another worker was faster
                found = await conversations.get(tenant, conversation_id)
                await delete_conversation(found, runs=runs, conversations=conversations)
        if len(old) < BATCH:
            return
