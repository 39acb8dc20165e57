"""A turn leaves nothing behind when its run cannot be started, and a trace when nobody knows whether it was."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dspy_service.adapters.memory import MemoryConversationStore, MemoryRunStore
from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.serving.errors import LimitReachedError
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import MultitaskStrategy, NewRun, Run
from dspy_service.domain.serving.run_events import RunFact
from dspy_service.usecases.serving.chat import regenerate, take_turn
from dspy_service.usecases.serving.start_run import Invocation
from tests.support.conversation_samples import NOW, a_new_conversation, ids, talk
from tests.support.served_programs import a_new_version

VERSION = ProgramVersion(**dict(a_new_version()), version=1, created_at=NOW)
CALL = Invocation(tenant="local", version=VERSION, inputs={})
FULL = Invocation(tenant="local", version=VERSION, inputs={}, max_live_runs=1)


class SilentRuns(MemoryRunStore):
    """Nobody knows whether it heard."""

    async def create(
        self,
        new: NewRun,
        *,
        start: RunFact,
        multitask: MultitaskStrategy = "enqueue",
        max_live_runs: int = 0,
        place: int = 0,
    ) -> tuple[Run, bool]:
        await super().create(new, start=start, multitask=multitask, max_live_runs=max_live_runs, place=place)
        raise StoreUnavailableError("run store")


@pytest.fixture
def conversations() -> MemoryConversationStore:
    return MemoryConversationStore()


async def test_the_message_is_there_before_the_run(conversations: MemoryConversationStore) -> None:
    runs = MemoryRunStore()

    run = await take_turn(
        "hi", CALL, conversation=a_new_conversation(), now=NOW, conversations=conversations, runs=runs
    )

    question, reply = await conversations.messages("local", "conv_1")
    assert (question.text, question.fields, question.created_at) == ("hi", {"question": "hi"}, NOW)
    assert (reply.run_id, reply.message_id, reply.status) == (run.run_id, run.message_id, "writing")
    assert run.conversation_id == "conv_1"
    assert (await conversations.get("local", "conv_1")).active_run_id == run.run_id


async def test_a_refused_first_turn_leaves_no_conversation(conversations: MemoryConversationStore) -> None:
    runs = MemoryRunStore()
    await take_turn(
        "hi", FULL, conversation=a_new_conversation("conv_0"), now=NOW, conversations=conversations, runs=runs
    )

    with pytest.raises(QuotaExceededError):
        await take_turn("hi", FULL, conversation=a_new_conversation(), now=NOW, conversations=conversations, runs=runs)

    found, _ = await conversations.page("local")
    assert [each.conversation_id for each in found] == ["conv_0"]


async def test_a_refused_later_turn_leaves_the_earlier_ones(conversations: MemoryConversationStore) -> None:
    conversation = await conversations.create(a_new_conversation())
    await talk(conversations, 1)
    runs = MemoryRunStore()
    await take_turn(
        "hi", FULL, conversation=a_new_conversation("conv_0"), now=NOW, conversations=conversations, runs=runs
    )

    with pytest.raises(QuotaExceededError):
        await take_turn("hi", FULL, conversation=conversation, now=NOW, conversations=conversations, runs=runs)
    with pytest.raises(QuotaExceededError):
        await regenerate("a1", FULL, conversation=conversation, now=NOW, conversations=conversations, runs=runs)

    assert await ids(conversations) == ["u1", "a1"]


async def test_a_turn_that_may_have_been_taken_stays(conversations: MemoryConversationStore) -> None:
    runs = SilentRuns()

    with pytest.raises(StoreUnavailableError):
        await take_turn(
            "hi",
            CALL,
            conversation=a_new_conversation(),
            now=NOW + timedelta(seconds=1),
            conversations=conversations,
            runs=runs,
        )

    _, reply = await conversations.messages("local", "conv_1")
    assert (await runs.get(reply.run_id or "")).message_id == reply.message_id


async def test_a_conversation_that_is_full_takes_no_turn(conversations: MemoryConversationStore) -> None:
    runs, conversation = MemoryRunStore(), await conversations.create(a_new_conversation())
    await talk(conversations, 1)
    one_more, no_more = replace(CALL, max_messages=3), replace(CALL, max_messages=2)

    with pytest.raises(LimitReachedError, match="3 messages"):
        await take_turn("hi", one_more, conversation=conversation, now=NOW, conversations=conversations, runs=runs)
    with pytest.raises(LimitReachedError, match="2 messages"):
        await regenerate("a1", no_more, conversation=conversation, now=NOW, conversations=conversations, runs=runs)

    assert await ids(conversations) == ["u1", "a1"]
    assert await runs.next_run() is None


async def test_a_tenant_with_all_its_conversations_begins_no_other(conversations: MemoryConversationStore) -> None:
    runs = MemoryRunStore()
    await conversations.create(a_new_conversation("conv_0"))

    with pytest.raises(LimitReachedError, match="1 conversations"):
        await take_turn(
            "hi",
            replace(CALL, max_conversations=1),
            conversation=a_new_conversation(),
            now=NOW,
            conversations=conversations,
            runs=runs,
        )

    assert await runs.next_run() is None
