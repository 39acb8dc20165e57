"""Case 14: the store loses what it knew, or goes back to an older state.

The restored copy of an append-only file stands in for a failover to a replica that lagged behind: to the workers both
are a store that has forgotten the last seconds.
"""

import pytest
import redis.asyncio as redis

from dspy_service.domain.errors import JobNotFoundError
from dspy_service.domain.job import JobStatus
from tests.support.faults.lifetimes import survivors
from tests.support.faults.platform_marks import on_linux
from tests.support.faults.stage import LEASE_SECONDS, Stage
from tests.support.processes import wait_until

pytestmark = [pytest.mark.slow, on_linux]

THREADS = 4


async def test_a_claim_that_the_store_has_forgotten_writes_nothing_though_its_fence_is_given_again(
    lone_stage: Stage,
) -> None:
    first = await lone_stage.worker(STANDBY="false")
    first.send(first_stop := _STOP)
    job_id = await lone_stage.submit()
    lone_stage.store.remember()
    first.send(_CONTINUE)
    assert first_stop
    await lone_stage.until_calls(20)
    forgotten = await lone_stage.job(job_id)
    runners = first.runners()

    lone_stage.store.go_back()
    await lone_stage.worker()
    wait_until(lambda: not survivors(runners), seconds=2 * LEASE_SECONDS + 3)
    job = await lone_stage.until_ended(job_id)

    assert (forgotten.attempt, forgotten.fence) == (1, 1)
    assert (job.status, job.attempt, job.fence, job.losses) == (JobStatus.SUCCESS, 1, 1, 0)
    assert lone_stage.repeated_calls() <= len(lone_stage.provider.received)
    assert await lone_stage.violations() == []


async def test_a_store_that_was_emptied_ends_the_attempt_and_takes_new_jobs(lone_stage: Stage) -> None:
    worker = await lone_stage.worker(STANDBY="false")
    job_id = await lone_stage.submit()
    await lone_stage.until_calls(20)
    runners = worker.runners()

    async with redis.Redis.from_url(lone_stage.store.url) as raw:
        await raw.flushall()
    wait_until(lambda: not survivors(runners), seconds=LEASE_SECONDS)
    lone_stage.submitted.clear()
    job = await lone_stage.until_ended(await lone_stage.submit(optimizer_name="labeled_few_shot", optimizer_kwargs={}))

    with pytest.raises(JobNotFoundError):
        await lone_stage.jobs.get(job_id)
    assert job.status is JobStatus.SUCCESS
    assert await lone_stage.violations() == []
