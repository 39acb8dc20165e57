"""Answers that a tenant's jobs share: bounded in bytes and in time, and nobody else's."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest
import redis.asyncio as redis

from dspy_service.adapters.memory import MemoryResponseCache
from dspy_service.adapters.redis.cache import RedisResponseCache
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.ports import ResponseCache

MAX_BYTES = 64 * 1024
UNUSED_SECONDS = 600.0


class Backend(Protocol):
    cache: ResponseCache

    async def pass_time(self, seconds: float) -> None:
        """Behave as if so much time had passed."""


class MemoryBackend:
    def __init__(self) -> None:
        self._now = 0.0
        self.cache = MemoryResponseCache(max_bytes=MAX_BYTES, unused_seconds=UNUSED_SECONDS, clock=lambda: self._now)

    async def pass_time(self, seconds: float) -> None:
        self._now += seconds


class RedisBackend:
    def __init__(self, url: str, raw: redis.Redis) -> None:
        self.cache = RedisResponseCache(url, max_bytes=MAX_BYTES, unused_seconds=UNUSED_SECONDS)
        self._raw = raw

    async def pass_time(self, seconds: float) -> None:
        for used in await self._raw.keys("{dspy}:cache:*:used"):
            for key in await self._raw.zrange(used, 0, -1):
                await self._raw.zincrby(used, -seconds * 1e6, key)


class ResponseCacheContract:
    async def test_an_answer_is_found_by_its_key_as_it_was_kept(self, backend: Backend) -> None:
        await backend.cache.keep("acme", "k1", '{"text":"zażółć"}')

        assert await backend.cache.find("acme", "k1") == '{"text":"zażółć"}'
        assert await backend.cache.find("acme", "k2") is None

    async def test_tenants_do_not_see_each_others_answers(self, backend: Backend) -> None:
        await backend.cache.keep("acme", "k1", "mine")

        assert await backend.cache.find("other", "k1") is None

    async def test_the_first_answer_to_a_key_stands(self, backend: Backend) -> None:
        await backend.cache.keep("acme", "k1", "first")
        await backend.cache.keep("acme", "k1", "second")

        assert await backend.cache.find("acme", "k1") == "first"

    async def test_an_answer_takes_the_place_of_another_where_that_is_asked(self, backend: Backend) -> None:
        await backend.cache.keep("acme", "k1", "first")
        await backend.cache.keep("acme", "k1", "second", replace=True)
        await backend.cache.keep("acme", "k2", "new", replace=True)

        assert await backend.cache.find("acme", "k1") == "second"
        assert await backend.cache.find("acme", "k2") == "new"

    async def test_what_was_not_used_for_longest_leaves_first(self, backend: Backend) -> None:
        for number in range(16):
            await backend.cache.keep("acme", f"k{number}", "x" * 3_800)
            await backend.pass_time(1)
        await backend.cache.find("acme", "k0")
        await backend.pass_time(1)

        await backend.cache.keep("acme", "k16", "x" * 3_800)

        kept = [number for number in range(17) if await backend.cache.find("acme", f"k{number}") is not None]
        assert kept == [0, *range(2, 17)]

    async def test_an_answer_that_would_push_out_many_is_not_kept(self, backend: Backend) -> None:
        await backend.cache.keep("acme", "small", "x")

        await backend.cache.keep("acme", "large", "x" * (MAX_BYTES // 16))

        assert await backend.cache.find("acme", "large") is None
        assert await backend.cache.find("acme", "small") == "x"

    async def test_an_answer_that_nobody_asks_for_is_forgotten_and_one_in_use_is_not(self, backend: Backend) -> None:
        await backend.cache.keep("acme", "unused", "u")
        await backend.cache.keep("acme", "used", "v")

        await backend.pass_time(UNUSED_SECONDS - 1)
        await backend.cache.find("acme", "used")
        await backend.pass_time(2)

        assert await backend.cache.find("acme", "unused") is None
        assert await backend.cache.find("acme", "used") == "v"

    async def test_a_forgotten_key_can_be_answered_anew(self, backend: Backend) -> None:
        await backend.cache.keep("acme", "k1", "old")
        await backend.pass_time(UNUSED_SECONDS + 1)

        await backend.cache.keep("acme", "k1", "new")

        assert await backend.cache.find("acme", "k1") == "new"


class TestCacheInMemory(ResponseCacheContract):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend()


class TestCacheOnRedis(ResponseCacheContract):
    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisBackend]:
        backend = RedisBackend(redis_url, raw_redis)
        yield backend
        await backend.cache.aclose()

    async def test_it_never_takes_more_memory_than_it_may(self, backend: Backend, raw_redis: redis.Redis) -> None:
        for number in range(400):
            await backend.cache.keep("acme", f"{number:064x}", "x" * (number % 1_000))

        taken = [await raw_redis.memory_usage(key) for key in await raw_redis.keys("{dspy}:cache:acme*")]

        assert len(taken) == 3
        assert sum(taken) <= 1.25 * MAX_BYTES
        assert int(await raw_redis.get("{dspy}:cache:acme:bytes")) > 0.9 * MAX_BYTES

    async def test_a_cache_that_nobody_uses_goes_by_itself(self, backend: Backend, raw_redis: redis.Redis) -> None:
        await backend.cache.keep("acme", "k1", "x")

        keys = await raw_redis.keys("{dspy}:cache:acme*")

        assert len(keys) == 3
        assert all([0 < await raw_redis.ttl(key) <= UNUSED_SECONDS for key in keys])

    async def test_without_redis_it_says_so(self) -> None:
        cache = RedisResponseCache("redis://127.0.0.1:1/0", max_bytes=MAX_BYTES, unused_seconds=1)

        with pytest.raises(StoreUnavailableError):
            await cache.find("acme", "k1")

        await cache.aclose()
