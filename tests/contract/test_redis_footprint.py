"""What a finished, a failed and a deleted job leave in Redis."""

from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from dspy_service.adapters.redis.jobs import RedisJobStore
from tests.contract.job_backends import running, settled, submitted, taken
from tests.support.job_samples import FAILED, OUTCOME, a_best, a_log, a_new_job, a_spec


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisJobStore]:
    store = RedisJobStore(redis_url)
    yield store
    await store.aclose()


async def memory_bytes(raw: redis.Redis) -> int:
    return sum([await raw.memory_usage(key, samples=0) for key in await raw.keys("{dspy}:*")])


async def test_a_finished_job_takes_at_most_two_kilobytes(store: RedisJobStore, raw_redis: redis.Redis) -> None:
    jobs = 50
    spec = a_spec(optimizer_kwargs={"auto": "light", "max_errors": 10}, metadata={"team": "search", "run": "nightly-7"})
    for n in range(jobs):
        job = await submitted(store, a_new_job(spec=spec, dataset_path=f"datasets/local/{n:064x}.json"))
        claim = await taken(store, job, owner="host-17:123456:1f2e3d4c")
        await store.advance(job.job_id, fence=1)
        metrics = {"tqdm_n": 10, "tqdm_total": 10, "tqdm_percent": 100.0, "tqdm_elapsed": 12.5, "score": 0.8125}
        await store.append(job.job_id, fence=1, events=[a_log("x")] * 100, latest_metrics=metrics, eta_seconds=9)
        await store.add_answers(job.job_id, fence=1, answers=["an answer"])
        await store.keep_best(job.job_id, fence=1, best=a_best(job.job_id))
        await settled(store, claim, OUTCOME.model_copy(update={"result_path": f"{job.job_id}/1"}))

    per_job = await memory_bytes(raw_redis) / jobs

    assert per_job <= 2048


async def test_a_finished_job_leaves_a_record_and_its_index_entries(
    store: RedisJobStore, raw_redis: redis.Redis
) -> None:
    claim = await running(store)
    await store.add_answers(claim.job.job_id, fence=1, answers=["an answer"])

    await settled(store, claim)

    about_all = {"{dspy}:submitted", "{dspy}:served", "{dspy}:datasets"}
    of_tenant = {f"{{dspy}}:jobs:local{index}" for index in ("", ":status:success", ":optimizer:miprov2")}
    of_job = {f"{{dspy}}:job:{claim.job.job_id}", "{dspy}:ended"}
    assert set(await raw_redis.keys()) == about_all | of_tenant | of_job


async def test_a_deleted_job_leaves_nothing(store: RedisJobStore, raw_redis: redis.Redis) -> None:
    spec = a_spec(webhook={"url": "https://example.org/hook"})
    for outcome in (OUTCOME, FAILED):
        claim = await running(store, a_new_job(spec=spec))
        await store.add_answers(claim.job.job_id, fence=1, answers=["an answer"])
        await settled(store, claim, outcome)
        await store.due_deliveries(lease_seconds=1)

        await store.delete(claim.job.job_id)

    left = {"{dspy}:submitted", "{dspy}:served", "{dspy}:orphans"}
    assert set(await raw_redis.keys()) == left


async def test_the_newest_answers_of_a_failed_job_stay_for_a_day_and_those_of_a_live_one_for_ever(
    store: RedisJobStore, raw_redis: redis.Redis
) -> None:
    claim = await running(store)
    key = f"{{dspy}}:job:{claim.job.job_id}:journal"
    await store.add_answers(claim.job.job_id, fence=1, answers=["an answer"])

    await settled(store, claim, FAILED)
    after_the_end = await raw_redis.ttl(key)
    await store.reopen(claim.job.job_id, spec=claim.spec)

    assert 86_000 < after_the_end <= 86_400
    assert await raw_redis.ttl(key) == -1
