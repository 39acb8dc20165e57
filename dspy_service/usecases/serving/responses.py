"""Runs as responses of OpenAI's API: which one is meant, and what a next one goes on from."""

import asyncio
import re
from contextlib import suppress

from dspy_service.domain.errors import ConflictError, InvalidRequestError
from dspy_service.domain.serving.chat_fields import Turn, answer_text, fields_of
from dspy_service.domain.serving.errors import ConversationNotFoundError, RunNotFoundError
from dspy_service.domain.serving.openai_memo import ResponseMemo
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import RunEvent, Snapshot, TokenWritten
from dspy_service.ports.serving.conversations import ConversationStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.ports.serving.runs import RunLog, RunRecords, RunStore
from dspy_service.usecases.serving.read_run import await_run, find_run, read_ending
from dspy_service.usecases.serving.record_answer import settle_messages

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PREVIOUS = "previous_response_id"
_END_SECONDS = 20.0
"""A worker hears of a wish to end within a second; a lost one is noticed after its lease."""


async def find_response(run_id: str, *, tenant: str, runs: RunRecords) -> tuple[Run, ResponseMemo]:
    """Return the record, and what it keeps of the request.

    Raises:
        RunNotFoundError: there is none, or it was started otherwise.
    """
    if not _ID.fullmatch(run_id):
        raise RunNotFoundError(run_id)
    run = await find_run(run_id, tenant=tenant, runs=runs)
    if not run.memo:
        raise RunNotFoundError(run_id)
    return run, ResponseMemo.model_validate(run.memo)


async def turns_before(run_id: str, *, tenant: str, runs: RunStore, programs: ProgramStore) -> list[Turn]:
    """Return what was said up to the end of an earlier response, oldest first.

    Raises:
        InvalidRequestError: it has not answered, or its answer is not kept any more.
    """
    try:
        run, memo = await find_response(run_id, tenant=tenant, runs=runs)
    except RunNotFoundError:
        raise InvalidRequestError.of(_PREVIOUS, "there is no such response; they are kept for a day") from None
    if run.conversation_id is not None:
        raise InvalidRequestError.of(_PREVIOUS, "it stands in a conversation; send its id as `conversation`")
    predicted = (await read_ending(run, runs=runs)).predicted
    if not run.status.is_terminal:
        raise InvalidRequestError.of(_PREVIOUS, "it is still being answered; wait for its end")
    if predicted is None:
        message = "it has no answer, or none that is kept any more; send the messages themselves"
        raise InvalidRequestError.of(_PREVIOUS, message)
    version = await programs.version(tenant, run.program, run.version)
    answer = answer_text(predicted.prediction, fields_of(version))
    return [*(each.turn() for each in memo.turns), Turn(memo.message, answer, run.inputs, predicted.prediction)]


async def delete_response(
    run: Run,
    *,
    runs: RunStore,
    conversations: ConversationStore,
    programs: ProgramStore,
    end_seconds: float = _END_SECONDS,
) -> None:
    """Forget a response; one that is still being answered is asked to end first.

    The order matters: its conversation is told what the run came to while that is still known.

    Args:
        run: The response.
        runs: Where it is.
        conversations: Where its answer may stand.
        programs: Tells which output is the answer.
        end_seconds: Longest wait for its end.

    Raises:
        ConflictError: it has not ended yet; ask again.
        RunNotFoundError: somebody else was faster.
    """
    if not run.status.is_terminal:
        await runs.cancel(run.run_id, reason="asked")
        try:
            async with asyncio.timeout(end_seconds):
                await await_run(run, runs=runs)
        except TimeoutError:
            pass  # the store says below that it lives
        run = await runs.get(run.run_id)
    await _settle(run, runs=runs, conversations=conversations, programs=programs)
    if not await runs.delete(run.run_id):
        message = "The response is still coming to its end; delete it again in a moment."
        raise ConflictError(message)


async def _settle(run: Run, *, runs: RunStore, conversations: ConversationStore, programs: ProgramStore) -> None:
    """Write what a run has come to into its conversation, where nobody has yet."""
    if run.conversation_id is None or run.message_id is None:
        return
    with suppress(ConversationNotFoundError):
        messages = await conversations.messages(run.tenant, run.conversation_id, head_id=run.message_id, limit=1)
        await settle_messages(
            messages, tenant=run.tenant, now=run.created_at, runs=runs, conversations=conversations, programs=programs
        )


async def seen_before(run: Run, seq: int, *, runs: RunLog) -> tuple[list[RunEvent], int]:
    """Return the events that a reader has been told who has come to number ``seq``, and where to go on.

    A token, or the texts that stand for many, is one event in whatever form it is told. Of anything else a part may be
    missing: it is told again, for the dialect to leave out what was told.
    """
    if seq == 0:
        return [], 0
    events = await runs.events(run.run_id, limit=seq)
    if not events or events[0].seq > 1:
        events = [*await runs.trimmed(run.run_id), *events]
    told = [event for event in events if event.seq <= seq]
    if told and told[-1].seq == seq and not isinstance(told[-1].fact, TokenWritten | Snapshot):
        return told[:-1], seq - 1
    return told, seq
