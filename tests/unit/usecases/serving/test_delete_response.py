"""A response is forgotten once it has ended, and its conversation keeps what it wrote."""

from datetime import timedelta
from typing import Any

import pytest

from dspy_service.adapters.memory import MemoryConversationStore, MemoryProgramStore, MemoryRunStore
from dspy_service.adapters.run_record import RunTimes
from dspy_service.domain.errors import ConflictError
from dspy_service.domain.serving.conversation import Answer, Message
from dspy_service.domain.serving.errors import RunNotFoundError
from dspy_service.domain.serving.run import Run
from dspy_service.usecases.serving.conversations import new_conversation
from dspy_service.usecases.serving.responses import delete_response
from tests.support.run_samples import COMPLETED, a_new_run, in_progress, started, the_final


@pytest.fixture
def runs() -> MemoryRunStore:
    return MemoryRunStore()


@pytest.fixture
def conversations() -> MemoryConversationStore:
    return MemoryConversationStore()


async def delete(run: Run, runs: MemoryRunStore, conversations: MemoryConversationStore) -> None:
    await delete_response(run, runs=runs, conversations=conversations, programs=MemoryProgramStore(), end_seconds=0.02)


async def answered(runs: MemoryRunStore, conversations: MemoryConversationStore) -> Run:
    """Return a turn of a conversation that has ended, whose answer nobody has written down."""
    talk = await conversations.create(new_conversation("qa", tenant="local"))
    new = a_new_run(conversation_id=talk.conversation_id).model_copy(update={"message_id": "msg_2"})
    said: Any = {"conversation_id": talk.conversation_id, "created_at": runs.clock()}
    question = Message(message_id="msg_1", role="user", text="Why?", **said)
    reply = Message(message_id="msg_2", role="assistant", text="", run_id=new.run_id, status="writing", **said)
    await conversations.add("local", [question, reply])
    await runs.create(new, start=started(new))
    await runs.claim(new.run_id, owner="w1", lease_seconds=15)
    return await runs.finish(new.run_id, fence=1, outcome=COMPLETED, facts=[the_final("Light.")])


async def texts(run: Run, conversations: MemoryConversationStore) -> list[str]:
    messages = await conversations.messages(run.tenant, run.conversation_id or "")
    return [each.text for each in messages]


async def test_one_that_does_not_come_to_its_end_stays(
    runs: MemoryRunStore, conversations: MemoryConversationStore
) -> None:
    run = await in_progress(runs)

    with pytest.raises(ConflictError, match="again in a moment"):
        await delete(run, runs, conversations)

    assert (await runs.get(run.run_id)).cancel_reason == "asked"


async def test_its_answer_is_written_down_before_it_is_forgotten(
    runs: MemoryRunStore, conversations: MemoryConversationStore
) -> None:
    run = await answered(runs, conversations)

    await delete(run, runs, conversations)

    assert await texts(run, conversations) == ["Why?", "Light."]
    with pytest.raises(RunNotFoundError):
        await runs.get(run.run_id)


async def test_an_answer_that_stands_there_stays_when_the_events_are_gone(
    runs: MemoryRunStore, conversations: MemoryConversationStore
) -> None:
    run = await answered(runs, conversations)
    answer = Answer(text="Light.", status="complete")
    await conversations.answer("local", run.conversation_id or "", "msg_2", answer)
    now = runs.clock()
    runs.clock = lambda: now + timedelta(seconds=RunTimes().log_seconds + 1)

    await delete(run, runs, conversations)

    assert await texts(run, conversations) == ["Why?", "Light."]


async def test_one_whose_conversation_is_gone_is_forgotten_all_the_same(
    runs: MemoryRunStore, conversations: MemoryConversationStore
) -> None:
    run = await answered(runs, conversations)
    await conversations.delete("local", run.conversation_id or "")

    await delete(run, runs, conversations)

    with pytest.raises(RunNotFoundError):
        await runs.get(run.run_id)
