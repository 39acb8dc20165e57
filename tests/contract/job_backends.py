"""The job stores under test, and what a test may do to their time."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
import redis.asyncio as redis

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.job import Claim, Job, NewJob, Outcome
from dspy_service.ports import JobStore
from tests.support.job_samples import OUTCOME, a_new_job, a_spec
from tests.support.lost_replies import RedisJobStoreWithLostReplies

_TIMES = ("created", "queued", "started", "began", "beat", "completed", "stamp", "place", "lease")
_TIMETABLES = ("outbox", "leases", "unsettled", "ended", "deliveries", "orphans", "served", "queued")


class Backend(Protocol):
    store: JobStore

    async def let_time_pass(self, seconds: float) -> None:
        """Behave as if everything in the store had been written so much earlier."""

    async def let_rings_come_nearer(self, seconds: float) -> None:
        """Behave as if so much time had passed for the outbox."""

    async def put_clock_back(self, job_id: str) -> None:
        """Behave as if the store's clock had been set back by an hour since the job's last write."""

    async def has_just_started(self) -> None:
        """Behave as if the store had been started now."""


class MemoryBackend:
    def __init__(self) -> None:
        self._now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        self.store = MemoryJobStore(clock=lambda: self._now)

    async def let_time_pass(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    async def let_rings_come_nearer(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    async def put_clock_back(self, job_id: str) -> None:  # noqa: ARG002  # one clock for all jobs
        self._now -= timedelta(hours=1)

    async def has_just_started(self) -> None:
        self.store.started_at = self._now


class RedisBackend:
    def __init__(self, store: RedisJobStore, raw: redis.Redis) -> None:
        self.store = store
        self._raw = raw

    async def let_time_pass(self, seconds: float) -> None:
        micros = round(seconds * 1_000_000)
        for timetable in _TIMETABLES:
            for member in await self._raw.zrange(f"{{dspy}}:{timetable}", 0, -1):
                await self._raw.zincrby(f"{{dspy}}:{timetable}", -micros, member)
        for tenant in await self._raw.smembers("{dspy}:waiting"):
            for member in await self._raw.zrange(f"{{dspy}}:waiting:{tenant}", 0, -1):
                await self._raw.zincrby(f"{{dspy}}:waiting:{tenant}", -micros // 1000, member)
        for key in await self._raw.keys("{dspy}:job:*"):
            if await self._raw.type(key) == "hash":
                for field in set(_TIMES) & set(await self._raw.hkeys(key)):
                    await self._raw.hincrby(key, field, -micros)

    async def let_rings_come_nearer(self, seconds: float) -> None:
        for job_id in await self._raw.zrange("{dspy}:outbox", 0, -1):
            await self._raw.zincrby("{dspy}:outbox", -seconds * 1e6, job_id)

    async def put_clock_back(self, job_id: str) -> None:
        await self._raw.hincrby(f"{{dspy}}:job:{job_id}", "stamp", 3600 * 1_000_000)

    async def has_just_started(self) -> None:
        """The server has been up for some seconds only; a test takes a longer lease than that."""


class InMemory:
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend()


class OnRedis:
    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisBackend]:
        backend = RedisBackend(RedisJobStore(redis_url), raw_redis)
        yield backend
        await backend.store.aclose()


class OnRedisWithLostReplies:
    """Every script that may be sent again is sent twice; only its second answer is heard."""

    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisBackend]:
        backend = RedisBackend(RedisJobStoreWithLostReplies(redis_url), raw_redis)
        yield backend
        await backend.store.aclose()


def a_job_of(tenant: str, *, priority: int = 5) -> NewJob:
    return a_new_job(spec=a_spec(priority=priority)).model_copy(update={"tenant": tenant})


async def submitted(store: JobStore, new: NewJob | None = None) -> Job:
    job, _ = await store.create(new or a_new_job())
    return job


async def claimed(store: JobStore, new: NewJob | None = None) -> Claim:
    return await taken(store, await submitted(store, new))


async def taken(store: JobStore, job: Job, *, owner: str = "w1") -> Claim:
    claim = await store.claim(job.job_id, owner=owner, lease_seconds=15, sandbox_level="L1")
    assert claim is not None
    return claim


async def running(store: JobStore, new: NewJob | None = None) -> Claim:
    claim = await claimed(store, new)
    await store.advance(claim.job.job_id, fence=claim.fence)
    return claim


async def claim_next(store: JobStore, *, tenant_running_jobs: int = 0) -> Claim:
    job_id = await store.next_job(tenant_running_jobs=tenant_running_jobs)
    assert job_id is not None
    claim = await store.claim(
        job_id, owner="w1", lease_seconds=15, sandbox_level="L1", tenant_running_jobs=tenant_running_jobs
    )
    assert claim is not None
    return claim


async def settled(store: JobStore, claim: Claim, outcome: Outcome = OUTCOME) -> Job:
    """Finish a held job, and put it away as a worker would."""
    job = await store.finish(claim.job.job_id, fence=claim.fence, outcome=outcome)
    await store.settle(job.job_id, fence=job.fence, archived_seq=job.last_seq)
    return await store.get(job.job_id)
