"""Conversations are as many, as long and as old as they may be, and leave nothing behind when they are deleted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
import redis.asyncio as redis

from dspy_service.adapters.memory import MemoryConversationStore
from dspy_service.adapters.redis.conversations import RedisConversationStore
from dspy_service.domain.serving.conversation import Feedback
from dspy_service.domain.serving.errors import LimitReachedError
from dspy_service.ports.serving.conversations import ConversationStore
from tests.support.conversation_samples import a_new_conversation, a_question, a_reply, ids, talk
from tests.support.lost_replies import SendsTwice

DAY = 86_400


class ConversationBackend(Protocol):
    store: ConversationStore

    async def let_time_pass(self, seconds: int) -> None:
        """Behave as if everything in the store had been written so much earlier."""


class MemoryBackend:
    def __init__(self) -> None:
        self._now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self.store = MemoryConversationStore(lambda: self._now)

    async def let_time_pass(self, seconds: int) -> None:
        self._now += timedelta(seconds=seconds)


class RedisBackend:
    def __init__(self, store: RedisConversationStore, raw: redis.Redis) -> None:
        self.store = store
        self._raw = raw

    async def let_time_pass(self, seconds: int) -> None:
        for key in await self._raw.keys("{dspy}:conversation*"):
            kind = await self._raw.type(key)
            if kind == "zset":
                for member in await self._raw.zrange(key, 0, -1):
                    await self._raw.zincrby(key, -seconds * 1_000_000, member)
            elif kind == "hash" and await self._raw.hexists(key, "updated"):
                await self._raw.hincrby(key, "updated", -seconds * 1_000_000)


class BoundsContract:
    @pytest.fixture
    def store(self, backend: ConversationBackend) -> ConversationStore:
        return backend.store

    async def test_a_tenant_has_as_many_conversations_as_it_may(self, store: ConversationStore) -> None:
        await store.create(a_new_conversation("foreign", tenant="acme"))
        for name in ("a", "b"):
            await store.create(a_new_conversation(name), max_conversations=2)

        with pytest.raises(LimitReachedError, match="2 conversations"):
            await store.create(a_new_conversation("c"), max_conversations=2)
        await store.delete("local", "a")
        await store.create(a_new_conversation("c"), max_conversations=2)

        assert {each.conversation_id for each in (await store.page("local"))[0]} == {"b", "c"}

    async def test_a_conversation_has_as_many_messages_as_it_may(self, store: ConversationStore) -> None:
        await store.create(a_new_conversation())
        await talk(store, 1)

        with pytest.raises(LimitReachedError, match="3 messages"):
            await store.add("local", [a_question(2), a_reply(2)], max_messages=3)
        await store.add("local", [a_reply(3, parent_id="u1")], max_messages=3)

        assert (await store.get("local", "conv_1")).message_count == 3
        assert await ids(store) == ["u1", "a3"]

    async def test_a_deletion_tells_which_runs_still_write(self, store: ConversationStore) -> None:
        await store.create(a_new_conversation())
        await talk(store, 1)
        for number in (2, 3):
            await store.add("local", [a_question(number), a_reply(number)])

        assert await store.delete("local", "conv_1") == ["run_2", "run_3"]

    async def test_conversations_of_all_tenants_are_found_once_they_are_old(self, backend: ConversationBackend) -> None:
        await backend.store.create(a_new_conversation("old"))
        await backend.store.create(a_new_conversation("foreign", tenant="acme"))
        await backend.let_time_pass(DAY)
        await backend.store.create(a_new_conversation("young"))
        await backend.let_time_pass(DAY)
        await backend.store.change("local", "young", title="Younger still")

        assert await backend.store.unchanged(seconds=3 * DAY) == []
        assert set(await backend.store.unchanged(seconds=DAY)) == {("acme", "foreign"), ("local", "old")}
        assert len(await backend.store.unchanged(seconds=DAY, limit=1)) == 1


class InMemory:
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend()


class OnRedis:
    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisBackend]:
        backend = RedisBackend(RedisConversationStore(redis_url), raw_redis)
        yield backend
        await backend.store.aclose()


class OnRedisWithLostReplies:
    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisBackend]:
        store = RedisConversationStore(redis_url)
        await store.aclose()
        store._client = SendsTwice(redis_url)
        yield RedisBackend(store, raw_redis)
        await store.aclose()


class TestBoundsInMemory(InMemory, BoundsContract):
    pass


class TestBoundsOnRedis(OnRedis, BoundsContract):
    async def test_a_deleted_conversation_leaves_no_key(self, store: ConversationStore, raw_redis: redis.Redis) -> None:
        await store.create(a_new_conversation(owner="ann"))
        await talk(store, 1, 2)
        await store.add("local", [a_question(3), a_reply(3)])
        await store.rate("local", "conv_1", "a1", Feedback(rating="up"))
        assert len(await raw_redis.keys("*")) > 6

        await store.delete("local", "conv_1")

        [tombstone] = await raw_redis.keys("*")
        assert tombstone == "{dspy}:conversation:conv_1:gone"
        assert 0 < await raw_redis.ttl(tombstone) <= 60
        assert "question" not in str(await raw_redis.get(tombstone))


class TestBoundsOnRedisWithLostReplies(OnRedisWithLostReplies, BoundsContract):
    pass
