"""Starts, finds, reads and deletes conversations."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

import uuid_utils

from dspy_service.domain.serving.conversation import Conversation, Message, NewConversation
from dspy_service.domain.serving.errors import ConversationNotFoundError, RunNotFoundError
from dspy_service.ports.serving.conversations import ConversationStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.ports.serving.runs import RunStore
from dspy_service.usecases.serving.record_answer import settle_messages

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def new_conversation(
    program: str,
    *,
    tenant: str,
    owner: str | None = None,
    title: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> NewConversation:
    """Return a conversation that is still to be recorded; ids sort by their time, and cannot be guessed."""
    return NewConversation(
        conversation_id=f"conv_{uuid_utils.uuid7()}",
        tenant=tenant,
        owner=owner or "",
        program=program,
        title=title,
        metadata=dict(metadata or {}),
    )


async def find_conversation(
    conversation_id: str, *, tenant: str, owner: str | None, conversations: ConversationStore
) -> Conversation:
    """Return a conversation of the owner; None: of anybody in the tenant. Raises ConversationNotFoundError."""
    if not _ID.fullmatch(conversation_id):
        raise ConversationNotFoundError(conversation_id)
    found = await conversations.get(tenant, conversation_id)
    if owner is not None and found.owner != owner:
        raise ConversationNotFoundError(conversation_id)
    return found


async def read_messages(
    conversation: Conversation,
    *,
    head_id: str | None,
    limit: int,
    now: datetime,
    runs: RunStore,
    conversations: ConversationStore,
    programs: ProgramStore,
) -> list[Message]:
    """Return the newest messages of a branch, oldest first; each as far as its run has come to an end."""
    tenant = conversation.tenant
    messages = await conversations.messages(tenant, conversation.conversation_id, head_id=head_id, limit=limit)
    return await settle_messages(
        messages, tenant=tenant, now=now, runs=runs, conversations=conversations, programs=programs
    )


async def delete_conversation(conversation: Conversation, *, runs: RunStore, conversations: ConversationStore) -> None:
    """Forget the conversation, then ask the runs that write in it to end; also those that wait for their turn.

    The order matters: no run can come after those that the deletion tells of. After a crash in between they go on for
    nothing: what a run writes into a conversation that is gone is dropped.
    """
    for run_id in await conversations.delete(conversation.tenant, conversation.conversation_id):
        with suppress(RunNotFoundError):  # it was never recorded, or is long over
            await runs.cancel(run_id, reason="asked")
