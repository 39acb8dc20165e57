"""Two API processes' worth of connections to one store: messages stand in the order in which they are answered."""

from contextlib import AsyncExitStack, aclosing

import pytest

from dspy_service.adapters.redis.conversations import RedisConversationStore
from dspy_service.adapters.redis.runs import RedisRunStore
from dspy_service.domain.serving.run import MultitaskStrategy
from tests.support.conversation_samples import a_new_conversation
from tests.support.crowded_turns import CROWD, answer_all, in_turns, send_at_once, transcript
from tests.support.valkey import redis_url, valkey_server

__all__ = ["redis_url", "valkey_server"]


@pytest.mark.parametrize("multitask", ["enqueue", "interrupt"])
async def test_twenty_messages_at_once_have_one_order(redis_url: str, multitask: MultitaskStrategy) -> None:
    async with AsyncExitStack() as stack:
        doors = []
        for _ in range(2):
            conversations = await stack.enter_async_context(aclosing(RedisConversationStore(redis_url)))
            doors.append((conversations, await stack.enter_async_context(aclosing(RedisRunStore(redis_url)))))
        conversations, runs = doors[0]
        for number in range(5):
            conversation_id = f"conv_{number}"
            conversation = await conversations.create(a_new_conversation(conversation_id))
            await send_at_once(conversation, doors, multitask=multitask, seed=number)

            answered = await answer_all(conversations, runs)

            shown = await transcript(conversations, conversation_id)
            assert len(shown) == 2 * CROWD
            assert shown[-2 * len(answered) :] == in_turns(answered)
            assert len(answered) == (CROWD if multitask == "enqueue" else 1)
