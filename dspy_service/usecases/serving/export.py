"""Turns rated answers into the rows of a training dataset."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from pydantic import JsonValue

from dspy_service.domain.serving.chat_fields import REASONING_FIELDS, fields_of, recalled
from dspy_service.domain.serving.conversation import Conversation, Message
from dspy_service.domain.serving.errors import (
    ConversationNotFoundError,
    ProgramNotFoundError,
    ProgramVersionRetiredError,
)
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.turns import turns_of
from dspy_service.ports.serving.conversations import ConversationStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.usecases.serving.resolve_program import resolve_program

_OWN = 2  # the question and the answer of a row


async def export_rated(
    *, tenant: str, program: str | None, owner: str | None, conversations: ConversationStore, programs: ProgramStore
) -> AsyncGenerator[dict[str, JsonValue], None]:
    """Yield one row for each answer that somebody liked, or said how it should have been.

    A row is the inputs of the turn and the outputs, without the reasoning: as ``dataset`` of ``POST /run`` takes them.
    A program with a history field gets the turns before, if it is still served.

    Args:
        tenant: Whose answers.
        program: Only of conversations with this program, by its name without version or alias; None: all.
        owner: Only of this owner's; None: everybody's.
        conversations: Where they are.
        programs: Tells which field takes the history.
    """
    versions: dict[str, ProgramVersion | None] = {}
    async with aclosing(conversations.rated(tenant)) as rated:
        async for conversation, message in rated:
            reference = conversation.program
            if program not in (None, reference.partition("@")[0]) or owner not in (None, conversation.owner):
                continue
            outputs = _outputs(message)
            if outputs is None:
                continue
            if reference not in versions:
                versions[reference] = await _version(reference, tenant, programs)
            inputs = await _inputs(conversation, message, versions[reference], conversations)
            if inputs is not None:
                yield {**inputs, **outputs}


def _outputs(message: Message) -> dict[str, JsonValue] | None:
    """Return what a program should answer; None when all that is known is that it should not have answered this."""
    feedback = message.feedback
    if feedback is None or (feedback.rating == "down" and not feedback.expected):
        return None
    said = {name: value for name, value in message.fields.items() if name not in REASONING_FIELDS}
    return said | (feedback.expected or {})  # what a correction does not name stands: all rows have the same columns


async def _inputs(
    conversation: Conversation, message: Message, version: ProgramVersion | None, conversations: ConversationStore
) -> dict[str, JsonValue] | None:
    """Return the inputs of a turn; None when it is gone meanwhile."""
    fields = None if version is None else fields_of(version)
    turns = 0 if version is None or fields is None or fields.history is None else version.chat.history_turns
    try:
        branch: Sequence[Message] = await conversations.messages(
            conversation.tenant, conversation.conversation_id, head_id=message.message_id, limit=2 * turns + _OWN
        )
    except ConversationNotFoundError:
        return None
    inputs = dict(branch[-_OWN].fields)
    if version is None or fields is None or fields.history is None:
        return inputs
    inputs[fields.history] = {"messages": []}  # every row of a dataset has the same columns
    return recalled(inputs, turns_of(branch[:-_OWN]), fields=fields, mapping=version.chat)


async def _version(reference: str, tenant: str, programs: ProgramStore) -> ProgramVersion | None:
    try:
        return await resolve_program(reference, tenant=tenant, programs=programs)
    except (ProgramNotFoundError, ProgramVersionRetiredError):
        return None
