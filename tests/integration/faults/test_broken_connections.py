"""Case 6: the network between a worker and the store goes dark, breaks off, or swallows a reply."""

import time

import pytest
import redis.asyncio as redis

from dspy_service.adapters.redis import key_names
from dspy_service.domain.job import JobStatus, Wish
from tests.support.faults.lifetimes import Lifetime, survivors
from tests.support.faults.platform_marks import on_crew, on_linux
from tests.support.faults.proxy import Catch, Moment
from tests.support.faults.stage import LEASE_SECONDS, Stage
from tests.support.processes import state_of, wait_until

pytestmark = [pytest.mark.slow, on_crew, on_linux]

THREADS = 4
SMALL = {"optimizer_kwargs": {"num_candidate_programs": 1, "max_bootstrapped_demos": 1, "num_threads": 4}}
LOST = "is another worker's now"
"""What a worker says that thinks that it has lost its job."""
LOSABLE = ("claim", "renew", "advance", "append", "add_answers", "drop_answers", "keep_best", "finish", "settle")


async def test_a_worker_that_is_cut_off_stands_still_in_time_and_its_job_goes_on_elsewhere(crew: Stage) -> None:
    """The store goes on counting, so that the lease really ends; the other worker takes the job then."""
    job_id = await crew.submit()
    await crew.until_calls(20)
    first = await crew.holder(job_id)
    runners = first.runners()

    first.way.blackhole()
    wait_until(lambda: stands_still(runners), seconds=LEASE_SECONDS)
    left_seconds = await lease_left_seconds(crew, job_id)
    calls = len(crew.provider.received)
    await crew.until(job_id, lambda job: job.attempt > 1)
    calls_while_nobody_held_it = len(crew.provider.received) - calls
    wait_until(lambda: not survivors(runners), seconds=LEASE_SECONDS + 3)
    job = await crew.until_ended(job_id)
    first.way.heal()

    assert left_seconds > 0
    assert calls_while_nobody_held_it == 0
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 1)
    assert crew.repeated_calls() <= THREADS
    assert await crew.violations() == []


async def test_a_worker_that_was_cut_off_takes_jobs_again(crew: Stage) -> None:
    first, second = crew.workers[-2:]
    for worker in (first, second):
        worker.way.blackhole()
    job_id = await crew.submit(**SMALL)
    since = time.monotonic()
    wait_until(lambda: time.monotonic() - since > LEASE_SECONDS)
    for worker in (first, second):
        worker.way.heal()

    job = await crew.until_ended(job_id)

    assert (job.status, job.losses) == (JobStatus.SUCCESS, 0)
    assert await crew.violations() == []


async def test_a_job_outlives_resets_of_all_connections(crew: Stage) -> None:
    job_id = await crew.submit()
    for calls in (10, 20, 30, 40):
        await crew.until_calls(calls)
        (await crew.holder(job_id)).way.reset()

    job = await crew.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert crew.repeated_calls() == 0
    assert await crew.violations() == []


async def test_replies_that_are_lost_after_the_commit_change_nothing(crew: Stage) -> None:
    catches = [Catch(verb, Moment.AFTER, hangs_up=True) for verb in LOSABLE]
    said_before = {worker.pid: len(worker.output) for worker in crew.workers}
    for worker in crew.workers:
        for catch in catches:
            worker.way.catch(catch)
    job_id = await crew.submit()

    job = await crew.until_ended(job_id)

    assert [catch.verb for catch in catches if not catch.reached.is_set()] == []
    assert not any(LOST in worker.output[said_before[worker.pid] :] for worker in crew.workers)
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert await crew.states(job_id) == ["pending", "validating", "running", "success"]
    assert crew.repeated_calls() == 0
    assert await crew.violations() == []


async def test_a_pause_whose_reply_is_lost_is_one_pause(crew: Stage) -> None:
    catch = Catch("release", Moment.AFTER, hangs_up=True)
    for worker in crew.workers:
        worker.way.catch(catch)
    job_id = await crew.submit()
    await crew.until_calls(10)

    await crew.jobs.wish(job_id, Wish.PAUSE)
    await crew.until(job_id, lambda job: job.status is JobStatus.PAUSED)
    await crew.jobs.wish(job_id, Wish.GO_ON)
    job = await crew.until_ended(job_id)

    assert catch.reached.is_set()
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 0)
    assert crew.repeated_calls() == 0
    assert await crew.violations() == []


def stands_still(runners: set[Lifetime]) -> bool:
    return all(state_of(runner.pid) == "T" for runner in runners)


async def lease_left_seconds(stage: Stage, job_id: str) -> float:
    """Return how long the store still keeps the job for whoever holds it."""
    async with redis.Redis.from_url(stage.store.url) as raw:
        ends_at = await raw.zscore(key_names.LEASES, job_id)
        seconds, micros = await raw.time()
    return (0.0 if ends_at is None else ends_at / 1e6) - (seconds + micros / 1e6)
