"""The job stores under test, and what a test may do to their time."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
import redis.asyncio as redis

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.adapters.redis_jobs import RedisJobStore
from dspy_service.domain.job import Claim, Job, NewJob, Wish
from dspy_service.ports import JobStore
from tests.support.job_samples import a_new_job


class Backend(Protocol):
    store: JobStore

    async def let_rings_come_nearer(self, seconds: float) -> None:
        """Behave as if so much time had passed for the outbox."""

    async def put_clock_back(self, job_id: str) -> None:
        """Behave as if the store's clock had been set back by an hour since the job's last write."""

    async def wish(self, job_id: str, wish: str) -> None:
        """Write a wish on the record."""


class MemoryBackend:
    def __init__(self) -> None:
        self._now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        self.store = MemoryJobStore(clock=lambda: self._now)

    async def let_rings_come_nearer(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    async def put_clock_back(self, job_id: str) -> None:  # noqa: ARG002  # one clock for all jobs
        self._now -= timedelta(hours=1)

    async def wish(self, job_id: str, wish: str) -> None:
        self.store.set_wish(job_id, Wish(wish))


class RedisBackend:
    def __init__(self, url: str, raw: redis.Redis) -> None:
        self.store = RedisJobStore(url)
        self._raw = raw

    async def let_rings_come_nearer(self, seconds: float) -> None:
        for job_id in await self._raw.zrange("{dspy}:outbox", 0, -1):
            await self._raw.zincrby("{dspy}:outbox", -seconds * 1e6, job_id)

    async def put_clock_back(self, job_id: str) -> None:
        await self._raw.hincrby(f"{{dspy}}:job:{job_id}", "stamp", 3600 * 1_000_000)

    async def wish(self, job_id: str, wish: str) -> None:
        await self._raw.hset(f"{{dspy}}:job:{job_id}", "wish", wish)


class InMemory:
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend()


class OnRedis:
    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisBackend]:
        backend = RedisBackend(redis_url, raw_redis)
        yield backend
        await backend.store.aclose()


async def submitted(store: JobStore, new: NewJob | None = None) -> Job:
    job, _ = await store.create(new or a_new_job())
    return job


async def claimed(store: JobStore, new: NewJob | None = None) -> Claim:
    job = await submitted(store, new)
    claim = await store.claim(job.job_id, owner="w1", lease_seconds=15, sandbox_level="L1")
    assert claim is not None
    return claim


async def running(store: JobStore, new: NewJob | None = None) -> Claim:
    claim = await claimed(store, new)
    await store.advance(claim.job.job_id, fence=claim.fence)
    return claim
