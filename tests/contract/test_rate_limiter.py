"""So many requests a minute, counted by name."""

from collections.abc import AsyncIterator

import pytest

from dspy_service.adapters.memory import MemoryRateLimiter
from dspy_service.adapters.redis.rates import RedisRateLimiter
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.ports import RateLimiter


class RateLimiterContract:
    async def test_what_is_over_the_limit_is_told_how_long_to_wait(self, limiter: RateLimiter) -> None:
        waits = [await limiter.take("key:a", per_minute=3) for _ in range(4)]

        assert waits[:3] == [None, None, None]
        assert waits[3] is not None
        assert 0 <= waits[3] <= 60

    async def test_names_are_counted_apart(self, limiter: RateLimiter) -> None:
        assert await limiter.take("key:a", per_minute=1) is None
        assert await limiter.take("key:b", per_minute=1) is None
        assert await limiter.take("key:a", per_minute=1) is not None


class TestRatesInMemory(RateLimiterContract):
    @pytest.fixture
    def limiter(self) -> RateLimiter:
        return MemoryRateLimiter()

    async def test_a_minute_later_there_is_room_again(self) -> None:
        now = [0.0]
        limiter = MemoryRateLimiter(clock=lambda: now[0])
        await limiter.take("a", per_minute=1)

        now[0] = 59.0
        wait_seconds = await limiter.take("a", per_minute=1)
        now[0] = 60.0

        assert wait_seconds == 1.0
        assert await limiter.take("a", per_minute=1) is None


class TestRatesOnRedis(RateLimiterContract):
    @pytest.fixture
    async def limiter(self, redis_url: str) -> AsyncIterator[RateLimiter]:
        limiter = RedisRateLimiter(redis_url)
        yield limiter
        await limiter.aclose()

    async def test_two_processes_count_together(self, limiter: RateLimiter, redis_url: str) -> None:
        other = RedisRateLimiter(redis_url)
        try:
            assert await limiter.take("a", per_minute=2) is None
            assert await other.take("a", per_minute=2) is None
            assert await limiter.take("a", per_minute=2) is not None
        finally:
            await other.aclose()

    async def test_without_redis_nobody_is_let_through(self) -> None:
        limiter = RedisRateLimiter("redis://127.0.0.1:1/0")

        with pytest.raises(StoreUnavailableError):
            await limiter.take("a", per_minute=2)

        await limiter.aclose()
