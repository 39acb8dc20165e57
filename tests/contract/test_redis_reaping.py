"""A Redis that stood still ends no lease when it goes on: its holder could not renew."""

import asyncio

import redis.asyncio as redis

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.adapters.redis.key_names import LEASES
from dspy_service.domain.job import JobStatus
from tests.contract.job_backends import running
from tests.support.waiting import until

LEASE_SECONDS = 1.0


async def test_a_reap_that_was_asked_for_long_ago_ends_no_lease(
    valkey_server: EmbeddedValkey, redis_url: str, raw_redis: redis.Redis
) -> None:
    """What was sent while the store stood still is the first that it does afterwards."""
    store, client = RedisJobStore(redis_url), RedisClient(redis_url)
    await until(lambda: _is_up_for_a_lease(raw_redis))
    job_id = (await running(store)).job.job_id
    await raw_redis.zadd(LEASES, {job_id: 0})
    seconds, micros = await raw_redis.time()
    asked_at = seconds * 1_000_000 + micros

    args = (round(LEASE_SECONDS * 1e6), 3, 100)
    late = await client.run("reap", keys=[LEASES], args=(*args, round(asked_at - 0.6 * LEASE_SECONDS * 1e6)))
    untouched = await store.get(job_id)
    [in_time] = await store.reap(lease_seconds=LEASE_SECONDS, max_losses=3)

    assert late == []
    assert (untouched.status, untouched.losses) == (JobStatus.RUNNING, 0)
    assert (in_time.job_id, in_time.losses) == (job_id, 1)
    await asyncio.gather(store.aclose(), client.aclose())


async def _is_up_for_a_lease(raw: redis.Redis) -> bool:
    return int((await raw.info("server"))["uptime_in_seconds"]) >= LEASE_SECONDS
