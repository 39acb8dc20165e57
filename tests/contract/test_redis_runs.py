"""What only the run store on Redis must care about: lost states, readers it cannot wait for, keys it leaves behind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest
import redis.asyncio as redis

from dspy_service.adapters.redis.runs import RedisRunStore
from dspy_service.adapters.run_record import TRIMMED_AT_ONCE, RunTimes
from dspy_service.domain.errors import ConfigurationError, LeaseLostError, SlowReaderError
from dspy_service.domain.serving.run_events import RunEvent
from tests.support.run_samples import (
    COMPLETED,
    a_new_run,
    a_token,
    completed,
    in_progress,
    kinds,
    queued,
    taken,
    the_final,
)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisRunStore]:
    store = RedisRunStore(redis_url, window=100)
    yield store
    await store.aclose()


@pytest.fixture
async def successor(redis_url: str) -> AsyncIterator[RedisRunStore]:
    store = RedisRunStore(redis_url)
    yield store
    await store.aclose()


async def drain(news: AsyncGenerator[list[RunEvent], None]) -> None:
    async for _ in news:
        pass


async def test_only_the_later_of_two_claims_with_one_fence_may_write(
    store: RedisRunStore, successor: RedisRunStore, redis_url: str
) -> None:
    run = await queued(store)
    async with redis.Redis.from_url(redis_url) as server:
        backup = {key: await server.dump(key) for key in await server.keys()}
        first = await taken(store, run)
        await server.flushall()
        for key, value in backup.items():
            await server.restore(key, 0, value)
    second = await taken(successor, run)

    for write in (
        store.append(run.run_id, fence=1, facts=[a_token("x")], batch=1),
        store.renew(run.run_id, fence=1, lease_seconds=15),
        store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[]),
        store.release(run.run_id, fence=1),
    ):
        with pytest.raises(LeaseLostError):
            await write
    await successor.append(run.run_id, fence=1, facts=[a_token("x")], batch=1)

    assert first.fence == second.fence == 1


async def test_an_ended_run_leaves_nothing_that_stays(store: RedisRunStore, raw_redis: redis.Redis) -> None:
    new = a_new_run(conversation_id="c1", key="k", on_disconnect="cancel")
    run = await in_progress(store, new)
    told = [a_token("x")] * 600
    for batch in range(1, 19):
        await store.append(run.run_id, fence=1, facts=told, batch=batch)
    await store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

    left = {key: await raw_redis.ttl(key) for key in await raw_redis.keys()}

    record = f"{{dspy}}:run:{run.run_id}"
    of_all = [left.pop(f"{{dspy}}:runs:{name}") for name in ("served", "submitted", "totals")]
    [day] = [key for key in left if key.startswith("{dspy}:runs:usage:local:")]
    assert of_all == [-1, -1, -1]
    assert round(left.pop(day), -2) == 400 * 86_400
    assert {key: round(seconds, -2) for key, seconds in left.items()} == {
        record: 86_400,
        f"{record}:log": 900,
        f"{record}:short": 86_400,
        "{dspy}:runs:idem:local:k": 86_400,
    }


@pytest.mark.parametrize("key", [None, "k"])
async def test_what_stands_for_trimmed_events_goes_with_the_log_unless_the_run_is_told_again(
    store: RedisRunStore, raw_redis: redis.Redis, key: str | None
) -> None:
    run = await in_progress(store, a_new_run(key=key))
    for batch in range(1, 19):
        await store.append(run.run_id, fence=1, facts=[a_token("x")] * 600, batch=batch)
    await store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

    seconds = await raw_redis.ttl(f"{{dspy}}:run:{run.run_id}:short")

    assert round(seconds, -2) == (900 if key is None else 86_400)


async def test_the_end_of_a_long_run_leaves_no_more_to_tell_than_that_of_a_short_one(
    store: RedisRunStore, raw_redis: redis.Redis
) -> None:
    run = await in_progress(store, a_new_run(key="k"))
    pieces = f"{{dspy}}:run:{run.run_id}:short"
    for batch in range(1, 11):
        await store.append(run.run_id, fence=1, facts=[a_token("x")] * 300, batch=batch)
    told_before = await raw_redis.llen(pieces)

    ended = await store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

    assert told_before == ended.last_seq // TRIMMED_AT_ONCE
    assert await raw_redis.llen(pieces) == told_before + 1


@pytest.mark.parametrize("tokens", [TRIMMED_AT_ONCE - 4, TRIMMED_AT_ONCE - 3, TRIMMED_AT_ONCE - 2])
async def test_a_run_whose_end_fills_a_piece_is_told_to_its_end(store: RedisRunStore, tokens: int) -> None:
    run = await in_progress(store, a_new_run(key="k"))
    await store.append(run.run_id, fence=1, facts=[a_token("x")] * tokens, batch=1)
    ended = await store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

    told = await store.retold(run.run_id)

    assert kinds(told) == ["start", "snapshot", "final", "end"]
    assert told[-1].seq == ended.last_seq


async def test_how_long_things_are_kept_can_be_set(redis_url: str, raw_redis: redis.Redis) -> None:
    store = RedisRunStore(redis_url, RunTimes(log_seconds=60, record_seconds=600, usage_seconds=6000))
    run = await completed(store)
    await store.aclose()

    record = f"{{dspy}}:run:{run.run_id}"
    assert 50 < await raw_redis.ttl(f"{record}:log") <= 60
    assert 590 < await raw_redis.ttl(record) <= 600
    [day] = await raw_redis.keys("{dspy}:runs:usage:local:*")
    assert 5990 < await raw_redis.ttl(day) <= 6000


async def test_a_conversation_goes_on_when_the_record_of_its_live_run_was_lost(
    store: RedisRunStore, raw_redis: redis.Redis
) -> None:
    lost = await queued(store, a_new_run(conversation_id="c1"))
    second = await queued(store, a_new_run(conversation_id="c1"))
    await raw_redis.delete(f"{{dspy}}:run:{lost.run_id}")

    third = await queued(store, a_new_run(conversation_id="c1"))
    await store.cancel(second.run_id, reason="asked")

    assert await store.next_run() == third.run_id


async def test_a_run_that_a_newer_service_wrote_is_left_alone(store: RedisRunStore, raw_redis: redis.Redis) -> None:
    run = await queued(store)
    await raw_redis.hset(f"{{dspy}}:run:{run.run_id}", "v", "2")

    with pytest.raises(ConfigurationError):
        await store.get(run.run_id)


async def test_fifty_readers_of_many_runs_cost_two_connections(store: RedisRunStore, raw_redis: redis.Redis) -> None:
    runs = [await in_progress(store) for _ in range(5)]
    before = len(await raw_redis.client_list())
    seen = 0

    async def read(run_id: str) -> None:
        nonlocal seen
        async with aclosing(store.watch(run_id, after=0, quiet_seconds=60)) as news:
            async for events in news:
                seen += len(events)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for run in runs * 10:
            tasks.create_task(read(run.run_id))
        async with asyncio.timeout(5):
            while seen < 50:  # noqa: ASYNC110  # readers and the test share one loop
                await asyncio.sleep(0.01)
        during = len(await raw_redis.client_list())
        for run in runs:
            await store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[])

    assert during - before <= 2
    assert seen == 100


async def test_a_reader_who_falls_too_far_behind_is_sent_away_and_may_come_back(store: RedisRunStore) -> None:
    run = await in_progress(store)

    async with asyncio.timeout(20), aclosing(store.watch(run.run_id, after=1, quiet_seconds=60)) as news:
        assert await anext(news) == []
        for batch in range(1, 31):
            await store.append(run.run_id, fence=1, facts=[a_token("x")] * 20, batch=batch)
        other = store.watch(run.run_id, after=590, quiet_seconds=60)
        async with aclosing(other):
            while (events := await anext(other)) and events[-1].seq < 601:
                pass
            with pytest.raises(SlowReaderError):
                await drain(news)

    assert len(await store.events(run.run_id, after=1)) == 600
