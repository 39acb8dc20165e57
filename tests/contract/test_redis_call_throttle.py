"""What only the throttle on Redis can get wrong: a server's clock, its memory, and its absence."""

import json

import pytest
import redis.asyncio as redis

from dspy_service.adapters.redis.throttle import RedisCallThrottle
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.throttle import ProviderLimits
from tests.contract.throttle_backends import PROVIDER, Backend, Caller, OnRedis, Provider, a_wish, taken

SLOTS = ProviderLimits(max_in_flight=4)


async def refused(backend: Backend, *, calls_per_second: float) -> None:
    await backend.throttle.refused(
        PROVIDER, job_id="j1", retry_after_seconds=1, calls_per_second=calls_per_second, call_seconds=0
    )


class TestCallThrottleOnRedis(OnRedis):
    async def test_a_clock_that_is_set_back_holds_nobody_up(self, backend: Backend) -> None:
        limits = ProviderLimits(requests_per_minute=600, max_in_flight=100)
        await taken(backend, limits, 60, tenant="gone", job="g1")
        await refused(backend, calls_per_second=10)

        await backend.pass_time(-3_600)
        await taken(backend, limits)
        await backend.pass_time(310)
        served = await Provider(backend, limits).serve(Caller("a1", 64), seconds=10)

        assert served["a1"] == pytest.approx(117, rel=0.1)

    async def test_who_has_not_been_seen_for_long_is_forgotten_and_so_is_a_provider_in_the_end(
        self, backend: Backend, raw_redis: redis.Redis
    ) -> None:
        for number in range(5):
            await taken(backend, SLOTS, 1, tenant=f"t{number}", job=f"j{number}")

        await backend.pass_time(700)
        await taken(backend, SLOTS, 1, tenant="now", job="j")

        keys = sorted(await raw_redis.keys("*"))
        assert keys == [f"{{dspy}}:throttle:{PROVIDER}{part}" for part in ("", ":grants", ":leases")]
        assert list(json.loads(await raw_redis.get(keys[0]))["tenants"]) == ["now"]
        assert await raw_redis.hlen(keys[1]) == await raw_redis.zcard(keys[2]) == 1
        assert all([0 < await raw_redis.ttl(key) <= 3_600 for key in keys])

    async def test_two_processes_share_one_limit(self, backend: Backend, redis_url: str) -> None:
        other = RedisCallThrottle(redis_url)
        try:
            first = await taken(backend, SLOTS, 3)
            second = await other.take(PROVIDER, a_wish(3), limits=SLOTS)
        finally:
            await other.aclose()

        assert (first.calls, second.calls) == (3, 1)

    async def test_without_redis_nothing_is_granted(self) -> None:
        throttle = RedisCallThrottle("redis://127.0.0.1:1/0")

        with pytest.raises(StoreUnavailableError):
            await throttle.take(PROVIDER, a_wish(), limits=SLOTS)

        await throttle.aclose()
