"""Writes into a conversation what its runs have come to."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from dspy_service.domain.serving.chat_fields import ChatFields, fields_of
from dspy_service.domain.serving.conversation import Answer, Message
from dspy_service.domain.serving.errors import ConversationNotFoundError, ProgramNotFoundError, RunNotFoundError
from dspy_service.domain.serving.run import Run, RunOutcome
from dspy_service.domain.serving.run_events import RunFact
from dspy_service.domain.serving.turns import answer_of, is_rolled_back
from dspy_service.ports.serving.conversations import ConversationStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.ports.serving.runs import RunStore

_LOST_AFTER = timedelta(minutes=1)
"""A message is written just before its run is recorded."""


async def record_answer(
    run: Run,
    outcome: RunOutcome,
    facts: Sequence[RunFact],
    *,
    runs: RunStore,
    conversations: ConversationStore,
    programs: ProgramStore,
) -> Message | None:
    """Write the assistant's message of a run that ends, or take it back with its question after a ``rollback``.

    Whoever ends a run calls this before he records the end, so that the next turn of the conversation, which waits for
    that, finds the answer. Idempotent.

    Args:
        run: The record.
        outcome: How it ends.
        facts: What it told; empty: what its log still has, or what is told of it once that has gone.
        runs: Where the log is.
        conversations: Where the message is.
        programs: Tells which output is the answer.

    Returns:
        The message; None when there is none, or none any more.
    """
    if run.conversation_id is None or run.message_id is None:
        return None
    known = facts or await _told(run, runs)
    try:
        if run.cancel_reason == "rolled_back" or is_rolled_back(known):
            await conversations.take_back(run.tenant, run.conversation_id, run.message_id)
            return None
        answer = answer_of(outcome, known, await _fields(run, programs))
        return await conversations.answer(run.tenant, run.conversation_id, run.message_id, answer)
    except ConversationNotFoundError:
        return None


async def settle_messages(
    messages: Sequence[Message],
    *,
    tenant: str,
    now: datetime,
    runs: RunStore,
    conversations: ConversationStore,
    programs: ProgramStore,
) -> list[Message]:
    """Return the messages, and first write those whose run has ended without a word, as it does in the queue."""
    settled: list[Message] = []
    for message in messages:
        is_open = message.status == "writing" and message.run_id is not None
        run = await _run_of(message, runs) if is_open else None
        found: Message | None = message
        if run is not None and run.status.is_terminal:
            outcome = RunOutcome(status=run.status, usage=run.usage, finish_reason=run.finish_reason, error=run.error)
            found = await record_answer(run, outcome, (), runs=runs, conversations=conversations, programs=programs)
        elif is_open and run is None and now - message.created_at > _LOST_AFTER:
            found = await _lost(tenant, message, conversations)
        if found is not None:
            settled.append(found)
    return settled


async def _told(run: Run, runs: RunStore) -> list[RunFact]:
    events = [*await runs.trimmed(run.run_id), *await runs.events(run.run_id)] or await runs.retold(run.run_id)
    return [event.fact for event in events]


async def _run_of(message: Message, runs: RunStore) -> Run | None:
    try:
        return await runs.get(message.run_id or "")
    except RunNotFoundError:
        return None


async def _lost(tenant: str, message: Message, conversations: ConversationStore) -> Message | None:
    lost = Answer(text=message.text, fields=message.fields, status="failed")
    try:
        return await conversations.answer(tenant, message.conversation_id, message.message_id, lost)
    except ConversationNotFoundError:
        return None


async def _fields(run: Run, programs: ProgramStore) -> ChatFields:
    try:
        return fields_of(await programs.version(run.tenant, run.program, run.version))
    except ProgramNotFoundError:
        return ChatFields(question=None, history=None, answer=None)
