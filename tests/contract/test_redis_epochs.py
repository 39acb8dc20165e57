"""A store that went back to an older state gives a fence out twice; the epoch of each claim tells the two apart."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis.asyncio as redis

from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.job import Wish
from tests.contract.job_backends import running, submitted, taken
from tests.support.job_samples import FAILED, OUTCOME, a_best, a_log

WRITES: dict[str, Callable[[RedisJobStore, str], Awaitable[object]]] = {
    "renew": lambda store, job_id: store.renew(job_id, fence=1, lease_seconds=15),
    "append": lambda store, job_id: store.append(job_id, fence=1, events=[a_log("x")]),
    "advance": lambda store, job_id: store.advance(job_id, fence=1),
    "keep_best": lambda store, job_id: store.keep_best(job_id, fence=1, best=a_best(job_id)),
    "add_answers": lambda store, job_id: store.add_answers(job_id, fence=1, answers=["x"]),
    "drop_answers": lambda store, job_id: store.drop_answers(job_id, fence=1, before=1),
    "release": lambda store, job_id: store.release(job_id, fence=1),
    "finish": lambda store, job_id: store.finish(job_id, fence=1, outcome=FAILED),
}


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisJobStore]:
    store = RedisJobStore(redis_url)
    yield store
    await store.aclose()


@pytest.fixture
async def successor(redis_url: str) -> AsyncIterator[RedisJobStore]:
    store = RedisJobStore(redis_url)
    yield store
    await store.aclose()


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[redis.Redis]:
    """Speaks bytes, which a backup consists of."""
    async with redis.Redis.from_url(redis_url) as client:
        yield client


async def claimed_twice(store: RedisJobStore, successor: RedisJobStore, server: redis.Redis) -> str:
    """Let two workers claim one job with the same fence, the second after a backup from before the first's claim."""
    job = await submitted(store)
    backup = {key: await server.dump(key) for key in await server.keys()}
    first = await taken(store, job, owner="w1")
    await server.flushall()
    for key, value in backup.items():
        await server.restore(key, 0, value)
    second = await taken(successor, job, owner="w2")
    assert first.fence == second.fence == 1
    return job.job_id


@pytest.mark.parametrize("verb", WRITES)
async def test_only_the_later_of_two_claims_with_one_fence_may_write(
    store: RedisJobStore, successor: RedisJobStore, server: redis.Redis, verb: str
) -> None:
    job_id = await claimed_twice(store, successor, server)
    before = await successor.get(job_id)

    with pytest.raises(LeaseLostError):
        await WRITES[verb](store, job_id)

    assert await successor.get(job_id) == before
    await WRITES[verb](successor, job_id)


@pytest.mark.parametrize("verb", ["finish", "release"])
async def test_what_another_worker_with_the_same_fence_did_is_not_taken_for_ones_own(
    store: RedisJobStore, successor: RedisJobStore, server: redis.Redis, verb: str
) -> None:
    job_id = await claimed_twice(store, successor, server)
    await WRITES[verb](successor, job_id)

    with pytest.raises(LeaseLostError):
        await WRITES[verb](store, job_id)


@pytest.mark.parametrize("verb", WRITES)
async def test_a_worker_whose_job_is_gone_from_the_store_brings_nothing_back(
    store: RedisJobStore, server: redis.Redis, verb: str
) -> None:
    claim = await running(store)
    await server.flushall()

    with pytest.raises(LeaseLostError):
        await WRITES[verb](store, claim.job.job_id)

    assert await server.keys() == []


async def test_a_store_that_did_not_make_the_claim_writes_by_the_fence_alone(
    store: RedisJobStore, successor: RedisJobStore
) -> None:
    job_id = (await running(store)).job.job_id

    assert await successor.renew(job_id, fence=1, lease_seconds=15) is Wish.GO_ON
    with pytest.raises(LeaseLostError):
        await successor.renew(job_id, fence=2, lease_seconds=15)


async def test_a_store_remembers_the_claims_that_it_holds_and_forgets_old_ones(store: RedisJobStore) -> None:
    oldest = (await running(store)).job.job_id
    for _ in range(1024):
        claim = await running(store)
    newest = claim.job.job_id

    assert store._proof(oldest, 1) == "1 "
    assert len(store._proof(newest, 1)) > len("1 ")
    await store.finish(oldest, fence=1, outcome=OUTCOME)
    await store.finish(newest, fence=1, outcome=OUTCOME)
