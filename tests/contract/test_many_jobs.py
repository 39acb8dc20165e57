"""The benchmark's copies of a finished job are what the store's own scripts would have left."""

from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from benchmarks.support.finished_jobs import a_finished_job, sample_jobs
from benchmarks.support.many_jobs import DATASETS, read_traces, write_copies
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.job_filter import JobFilter
from dspy_service.ports import JobStore

COPY_ID = "ffffffff-ffff-7fff-bfff-ffffffffffff"  # newer than all others
COPY_PATH = "datasets/another.json"


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisJobStore]:
    store = RedisJobStore(redis_url)
    yield store
    await store.aclose()


@pytest.mark.parametrize("number", range(3))
async def test_a_copy_leaves_the_same_traces_as_a_job_that_was_run(
    store: JobStore, raw_redis: redis.Redis, number: int
) -> None:
    kind = sample_jobs()[number]
    for _ in range(3):
        await a_finished_job(store, kind)
    job = await a_finished_job(store, kind)
    original = await read_traces(raw_redis, job.job_id, job.dataset_path)

    await write_copies(raw_redis, original, job.job_id, [(COPY_ID, COPY_PATH)])

    copied = await read_traces(raw_redis, COPY_ID, COPY_PATH)
    assert copied.named({COPY_ID: job.job_id, COPY_PATH: job.dataset_path}) == original
    assert await raw_redis.hget(DATASETS, COPY_PATH) == await raw_redis.hget(DATASETS, job.dataset_path)


async def test_a_copy_is_a_job_like_any_other(store: JobStore, raw_redis: redis.Redis) -> None:
    job = await a_finished_job(store, sample_jobs()[0])
    original = await read_traces(raw_redis, job.job_id, job.dataset_path)
    await write_copies(raw_redis, original, job.job_id, [(COPY_ID, COPY_PATH)])

    page = await store.page(job.tenant, wanted=JobFilter(status=job.status, metadata=job.metadata))
    deleted = await store.delete(COPY_ID)

    copy, original_job = page.jobs
    assert copy.model_dump_json().replace(COPY_ID, job.job_id).replace(COPY_PATH, job.dataset_path) == (
        job.model_dump_json()
    )
    assert original_job == job
    assert deleted
    assert await read_traces(raw_redis, job.job_id, job.dataset_path) == original
