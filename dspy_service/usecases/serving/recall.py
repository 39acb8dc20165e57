"""Tells a run that begins what was said before in its conversation."""

from datetime import datetime

from dspy_service.domain.serving.chat_fields import fields_of, recalled
from dspy_service.domain.serving.errors import ConversationNotFoundError
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.turns import turns_of
from dspy_service.ports.serving.conversations import ConversationStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.ports.serving.runs import RunStore
from dspy_service.usecases.serving.record_answer import settle_messages

_OWN = 2  # the question, and the answer that the run is to write


async def recall(
    run: Run, *, now: datetime, runs: RunStore, conversations: ConversationStore, programs: ProgramStore
) -> Run:
    """Return the run with the earlier turns in its inputs; without a conversation, the run as it is.

    This is done when the run begins, and not when it is asked for: only then have the runs before it ended.

    Raises:
        ProgramNotFoundError: its version is gone.
        StoreUnavailableError: a store does not answer.
    """
    if run.conversation_id is None or run.message_id is None:
        return run
    version = await programs.version(run.tenant, run.program, run.version)
    try:
        messages = await conversations.messages(
            run.tenant,
            run.conversation_id,
            head_id=run.message_id,
            limit=2 * version.chat.history_turns + _OWN,
        )
    except ConversationNotFoundError:
        return run
    before = await settle_messages(
        messages[:-_OWN], tenant=run.tenant, now=now, runs=runs, conversations=conversations, programs=programs
    )
    inputs = recalled(run.inputs, turns_of(before), fields=fields_of(version), mapping=version.chat)
    return run.model_copy(update={"inputs": inputs})
