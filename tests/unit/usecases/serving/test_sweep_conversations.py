"""Conversations go a while after their last change, with the runs that still write in them."""

from datetime import UTC, datetime, timedelta

import pytest

from dspy_service.adapters.memory import MemoryConversationStore, MemoryRunStore
from dspy_service.domain.serving.conversation import Conversation
from dspy_service.domain.serving.errors import ConversationNotFoundError
from dspy_service.domain.serving.run import RunStatus
from dspy_service.usecases.serving.conversations import delete_conversation
from dspy_service.usecases.serving.sweep_conversations import BATCH, sweep_conversations
from tests.support.conversation_samples import a_new_conversation, a_question, a_reply, talk
from tests.support.run_samples import a_new_run, in_progress, queued
from tests.support.webhooks import Clock

DAY = 86_400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def conversations(clock: Clock) -> MemoryConversationStore:
    return MemoryConversationStore(clock)


async def test_conversations_go_days_after_their_last_change(
    conversations: MemoryConversationStore, clock: Clock
) -> None:
    for name, tenant in (("old", "local"), ("foreign", "acme"), ("young", "local")):
        await conversations.create(a_new_conversation(name, tenant=tenant))
    clock.seconds += 6 * DAY
    await talk(conversations, 1, conversation_id="young")
    clock.seconds += DAY

    await sweep_conversations(conversations=conversations, runs=MemoryRunStore(), retention_days=7)

    left = [*(await conversations.page("local"))[0], *(await conversations.page("acme"))[0]]
    assert [each.conversation_id for each in left] == ["young"]


async def test_they_are_kept_for_ever_unless_the_operator_says_otherwise(
    conversations: MemoryConversationStore, clock: Clock
) -> None:
    await conversations.create(a_new_conversation())
    clock.seconds += 10_000 * DAY

    await sweep_conversations(conversations=conversations, runs=MemoryRunStore(), retention_days=0)

    assert (await conversations.get("local", "conv_1")).conversation_id == "conv_1"


async def test_more_than_a_batch_goes_in_one_sweep(conversations: MemoryConversationStore, clock: Clock) -> None:
    for number in range(BATCH + 1):
        await conversations.create(a_new_conversation(f"c{number}"))
    clock.seconds += 8 * DAY

    await sweep_conversations(conversations=conversations, runs=MemoryRunStore(), retention_days=7)

    assert await conversations.page("local") == ([], False)


class FasterElsewhere(MemoryConversationStore):
    """Another worker has deleted what was found."""

    async def get(self, tenant: str, conversation_id: str) -> Conversation:
        await super().delete(tenant, conversation_id)
        raise ConversationNotFoundError(conversation_id)


async def test_two_workers_may_sweep_at_once() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    conversations = FasterElsewhere(lambda: now)
    for name in ("a", "b"):
        await conversations.create(a_new_conversation(name))
    now += timedelta(days=8)

    await sweep_conversations(conversations=conversations, runs=MemoryRunStore(), retention_days=7)

    assert await conversations.page("local") == ([], False)


async def test_all_runs_of_a_deleted_conversation_are_asked_to_end(conversations: MemoryConversationStore) -> None:
    runs = MemoryRunStore()
    conversation = await conversations.create(a_new_conversation())
    writing = await in_progress(runs, a_new_run(run_id="run_1", conversation_id="conv_1"))
    waiting = await queued(runs, a_new_run(run_id="run_2", conversation_id="conv_1"))
    for number in (1, 2, 3):  # the third one was never recorded
        await conversations.add("local", [a_question(number), a_reply(number)])

    await delete_conversation(conversation, runs=runs, conversations=conversations)

    assert (await runs.get(writing.run_id)).cancel_wished
    assert (await runs.get(waiting.run_id)).status is RunStatus.CANCELLED
    with pytest.raises(ConversationNotFoundError):
        await conversations.get("local", "conv_1")
