"""Case 14: the store loses what it knew, or goes back to an older state.

The restored copy of an append-only file stands in for a failover to a replica that lagged behind: to the workers both
are a store that has forgotten the last seconds.
"""

import signal

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
    faults: Stage,
) -> None:
    job_id = await faults.submit()
    faults.store.remember()
    first = await faults.worker(STANDBY="false")
    await faults.until_calls(20)
    forgotten, frozen, runners = await faults.job(job_id), first.family(), first.runners()

    first.send(signal.SIGSTOP, frozen)
    faults.store.go_back()
    second = await faults.worker()
    again = await faults.until(job_id, lambda job: second.holds(job.owner))
    first.send(signal.SIGCONT, frozen)
    wait_until(lambda: not survivors(runners), seconds=5)
    job = await faults.until_ended(job_id)

    assert (forgotten.attempt, forgotten.fence) == (again.attempt, again.fence) == (1, 1)
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert second.holds(job.owner)
    assert faults.repeated_calls() <= THREADS
    assert await faults.violations() == []


async def test_a_store_that_was_emptied_ends_the_attempt_and_takes_new_jobs(faults: Stage) -> None:
    worker = await faults.worker(STANDBY="false")
    job_id = await faults.submit()
    await faults.until_calls(20)
    runners = worker.runners()

    async with redis.Redis.from_url(faults.store.url) as raw:
        await raw.flushall()
    wait_until(lambda: not survivors(runners), seconds=LEASE_SECONDS)
    faults.submitted.clear()
    job = await faults.until_ended(await faults.submit(optimizer_name="labeled_few_shot", optimizer_kwargs={}))

    with pytest.raises(JobNotFoundError):
        await faults.jobs.get(job_id)
    assert job.status is JobStatus.SUCCESS
    assert await faults.violations() == []
