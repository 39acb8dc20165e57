"""What only Redis can show: speed, wake-ups, and what happens when it is dead, silent or newer."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio as redis
from redis.exceptions import ResponseError

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError
from dspy_service.domain.job import Wish
from tests.contract.job_backends import claimed, running, submitted
from tests.support.job_samples import a_log, a_new_job
from tests.support.waiting import until


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisJobStore]:
    store = RedisJobStore(redis_url)
    yield store
    await store.aclose()


@pytest.fixture
def silent_server(valkey_server: EmbeddedValkey) -> Iterator[EmbeddedValkey]:
    os.kill(valkey_server.pid, signal.SIGSTOP)
    yield valkey_server
    os.kill(valkey_server.pid, signal.SIGCONT)


async def listeners(raw: redis.Redis) -> int:
    [(_, count)] = await raw.pubsub_numsub("{dspy}:submitted")
    return int(count)


async def test_a_lease_ends_after_its_seconds_and_moves_with_each_heartbeat(
    store: RedisJobStore, raw_redis: redis.Redis
) -> None:
    claim = await claimed(store)
    start = (await store.now()).timestamp()

    first = await raw_redis.zscore("{dspy}:leases", claim.job.job_id)
    await store.renew(claim.job.job_id, fence=1, lease_seconds=60)
    second = await raw_redis.zscore("{dspy}:leases", claim.job.job_id)

    assert first / 1e6 - start == pytest.approx(15, abs=2)
    assert second / 1e6 - start == pytest.approx(60, abs=2)


async def test_reading_and_appending_cost_the_same_after_100_000_events(store: RedisJobStore) -> None:
    async def best_seconds(job_id: str) -> float:
        times = []
        for _ in range(50):
            start = time.perf_counter()
            await store.get(job_id)
            await store.append(job_id, fence=1, events=[a_log("x")])
            times.append(time.perf_counter() - start)
        return min(times)  # what else the machine does is in all the others

    short = (await running(store)).job.job_id
    long = (await running(store)).job.job_id
    for _ in range(20):
        await store.append(long, fence=1, events=[a_log("x")] * 5000)

    ratio = await best_seconds(long) / await best_seconds(short)

    assert (await store.get(long)).last_seq > 100_000
    assert ratio < 3


async def test_a_published_submit_wakes_at_once(store: RedisJobStore, raw_redis: redis.Redis) -> None:
    waiting = asyncio.create_task(store.wait_for_submit(30))
    await until(lambda: listeners(raw_redis))

    await submitted(store)

    async with asyncio.timeout(0.5):  # the poll beneath takes a second
        assert await waiting


async def test_a_submit_whose_message_was_lost_is_found_by_the_poll(
    store: RedisJobStore, raw_redis: redis.Redis
) -> None:
    waiting = asyncio.create_task(store.wait_for_submit(30))
    await until(lambda: listeners(raw_redis))

    await raw_redis.incr("{dspy}:submitted")

    async with asyncio.timeout(3):
        assert await waiting


async def test_each_write_of_events_is_told_to_readers_once(store: RedisJobStore, raw_redis: redis.Redis) -> None:
    heard: list[str] = []
    async with raw_redis.pubsub() as readers:
        await readers.subscribe("{dspy}:events")
        claim = await running(store)
        job_id = claim.job.job_id
        await store.append(job_id, fence=1, events=[a_log("x"), a_log("y")])
        await store.append(job_id, fence=1, events=[], message="no event")
        await store.renew(job_id, fence=1, lease_seconds=15)
        await store.wish(job_id, Wish.PAUSE)
        await store.release(job_id, fence=1)
        await store.wish(job_id, Wish.CANCEL)
        await raw_redis.publish("{dspy}:events", "the end")
        while "the end" not in heard:
            message = await readers.get_message(ignore_subscribe_messages=True, timeout=5)
            heard += [message["data"]] if message else []

    assert heard == [job_id] * 6 + ["the end"]


async def test_a_lease_of_a_job_that_is_gone_is_forgotten(store: RedisJobStore, raw_redis: redis.Redis) -> None:
    await raw_redis.zadd("{dspy}:leases", {"nobody": 1})

    assert await store.reap(lease_seconds=0, max_losses=3) == []
    assert await raw_redis.keys() == []


async def test_a_record_of_a_newer_release_is_refused_and_left_alone(
    store: RedisJobStore, raw_redis: redis.Redis
) -> None:
    job = await submitted(store)
    await raw_redis.hset(f"{{dspy}}:job:{job.job_id}", "v", 99)
    before = await raw_redis.hgetall(f"{{dspy}}:job:{job.job_id}")

    with pytest.raises(ConfigurationError, match="schema version 99"):
        await store.get(job.job_id)
    with pytest.raises(ConfigurationError, match="schema version 99"):
        await store.claim(job.job_id, owner="w1", lease_seconds=15, sandbox_level="L1")

    assert await raw_redis.hgetall(f"{{dspy}}:job:{job.job_id}") == before


async def test_a_silent_redis_is_unavailable_within_three_seconds(
    store: RedisJobStore, silent_server: EmbeddedValkey
) -> None:
    async def seconds_to_fail(call: object) -> float:
        start = time.perf_counter()
        with pytest.raises(StoreUnavailableError):
            await call
        return time.perf_counter() - start

    waits = await asyncio.gather(
        *(
            seconds_to_fail(call)
            for call in [store.create(a_new_job()), store.get("x"), store.now(), store.due(limit=1)]
        )
    )

    assert max(waits) < 3


async def test_an_open_connection_to_a_redis_that_falls_silent_fails_within_three_seconds(
    store: RedisJobStore, valkey_server: EmbeddedValkey
) -> None:
    await store.now()
    os.kill(valkey_server.pid, signal.SIGSTOP)
    start = time.perf_counter()
    try:
        with pytest.raises(StoreUnavailableError):
            await store.create(a_new_job())
    finally:
        os.kill(valkey_server.pid, signal.SIGCONT)

    assert time.perf_counter() - start < 3
    assert (await store.now()).year >= 2026


async def test_a_dead_redis_is_unavailable_within_three_seconds() -> None:
    store = RedisJobStore("unix:///nowhere/valkey.sock")
    start = time.perf_counter()

    with pytest.raises(StoreUnavailableError):
        await store.wait_for_submit(30)
    with pytest.raises(StoreUnavailableError):
        await store.create(a_new_job())

    assert time.perf_counter() - start < 6
    await store.aclose()


async def test_a_redis_that_waits_for_its_replica_is_unavailable(store: RedisJobStore, raw_redis: redis.Redis) -> None:
    await raw_redis.config_set("min-replicas-to-write", "1")
    try:
        with pytest.raises(StoreUnavailableError):
            await store.create(a_new_job())
        with pytest.raises(StoreUnavailableError):
            await store.retire_worker("w1")
    finally:
        await raw_redis.config_set("min-replicas-to-write", "0")

    assert await raw_redis.keys() == []


async def test_a_key_of_another_kind_is_our_own_fault_and_not_an_outage(
    store: RedisJobStore, raw_redis: redis.Redis
) -> None:
    await raw_redis.set("{dspy}:job:x", "not a hash")

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await store.get("x")


async def test_a_full_redis_is_unavailable_and_keeps_no_half_of_a_job(
    store: RedisJobStore, raw_redis: redis.Redis
) -> None:
    await raw_redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailableError):
            await store.create(a_new_job())
    finally:
        await raw_redis.config_set("maxmemory", "0")

    assert await raw_redis.keys() == []


async def test_a_restart_of_redis_goes_unseen(store: RedisJobStore, valkey_server: EmbeddedValkey) -> None:
    async def stopped() -> bool:
        return not valkey_server.running

    job = await submitted(store)
    await store.wait_for_submit(0.1)

    os.kill(valkey_server.pid, signal.SIGKILL)
    await until(stopped)
    valkey_server.revive()

    assert await store.get(job.job_id) == job
    other = await submitted(store)
    assert await store.wait_for_submit(5)
    assert await store.due(limit=10) == [job.job_id, other.job_id]


def test_an_address_that_is_not_redis_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="DSPY_SERVICE_REDIS_URL"):
        RedisJobStore("http://localhost")


async def test_who_was_served_is_forgotten_after_a_day(store: RedisJobStore, raw_redis: redis.Redis) -> None:
    now = (await store.now()).timestamp()
    await raw_redis.zadd("{dspy}:served", {"gone": (now - 90_000) * 1e6, "here": (now - 80_000) * 1e6})

    await claimed(store)

    assert await raw_redis.zrange("{dspy}:served", 0, -1) == ["here", "local"]
