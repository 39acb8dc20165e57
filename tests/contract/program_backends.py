"""The program stores under test, and what a test may do to their time."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
import redis.asyncio as redis

from dspy_service.adapters.memory import MemoryProgramStore
from dspy_service.adapters.redis.programs import RedisProgramStore
from dspy_service.ports.serving.programs import ProgramStore
from tests.support.lost_replies import SendsTwice
from tests.support.served_programs import a_new_version


class ProgramBackend(Protocol):
    store: ProgramStore

    async def let_time_pass(self, seconds: int) -> None:
        """Behave as if everything in the store had been written so much earlier."""


class MemoryProgramBackend:
    def __init__(self) -> None:
        self._now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self.store = MemoryProgramStore(lambda: self._now)

    async def let_time_pass(self, seconds: int) -> None:
        self._now += timedelta(seconds=seconds)


class RedisProgramBackend:
    def __init__(self, store: RedisProgramStore, raw: redis.Redis) -> None:
        self.store = store
        self._raw = raw

    async def let_time_pass(self, seconds: int) -> None:
        for key in await self._raw.keys("{dspy}:program:*:left:*"):
            left_seconds, note = await self._raw.ttl(key), await self._raw.get(key)
            if note.isdecimal():
                await self._raw.set(key, int(note) - seconds * 1_000_000, keepttl=True)
            await self._raw.expire(key, max(0, left_seconds - seconds))


class ProgramsInMemory:
    @pytest.fixture
    def backend(self) -> MemoryProgramBackend:
        return MemoryProgramBackend()


class ProgramsOnRedis:
    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisProgramBackend]:
        backend = RedisProgramBackend(RedisProgramStore(redis_url), raw_redis)
        yield backend
        await backend.store.aclose()


class ProgramsOnRedisWithLostReplies:
    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisProgramBackend]:
        store = RedisProgramStore(redis_url)
        await store.aclose()
        store._client = SendsTwice(redis_url)
        yield RedisProgramBackend(store, raw_redis)
        await store.aclose()


async def deploy(store: ProgramStore, *digests: str, program: str = "answers", tenant: str = "local") -> None:
    """Add versions."""
    for digest in digests:
        await store.add_version(a_new_version(program, tenant=tenant, digest=digest))
