"""A worker that is killed loses its job to another one, which repeats at most the calls that were in flight."""

import signal
import time

import pytest

from dspy_service.domain.job import JobStatus
from tests.integration.faults.stage import LEASE_SECONDS, ON_LINUX, Stage
from tests.support.processes import is_alive, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ON_LINUX, reason="reads /proc to see which processes are whose"),
]

THREADS = 4
RECLAIM_SECONDS = LEASE_SECONDS + 4


async def test_the_job_of_a_killed_worker_goes_on_at_another_one(faults: Stage) -> None:
    await faults.two_workers()
    job_id = await faults.submit()
    await faults.until_calls(30)
    first = await faults.holder(job_id)
    family = first.family()

    killed_at = time.monotonic()
    first.send(signal.SIGKILL)
    await faults.until(job_id, lambda job: job.attempt > 1)
    reclaimed_after = time.monotonic() - killed_at
    job = await faults.until_ended(job_id)

    assert reclaimed_after <= RECLAIM_SECONDS
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 1)
    assert faults.repeated_calls() <= THREADS
    assert await faults.states(job_id) == [
        "pending",
        "validating",
        "running",
        "pending",
        "validating",
        "running",
        "success",
    ]
    await faults.check_history(job_id)
    wait_until(lambda: not any(map(is_alive, family)))


async def test_the_job_of_a_killed_slot_goes_on_at_the_same_worker(faults: Stage) -> None:
    worker = await faults.worker()
    job_id = await faults.submit()
    await faults.until_calls(30)
    slots, runners = worker.slots(), worker.runners()

    killed_at = time.monotonic()
    worker.send(signal.SIGKILL, *slots)
    wait_until(lambda: not any(map(is_alive, runners)), seconds=2)
    await faults.until(job_id, lambda job: job.attempt > 1)
    reclaimed_after = time.monotonic() - killed_at
    job = await faults.until_ended(job_id)

    assert reclaimed_after <= RECLAIM_SECONDS
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 1)
    assert faults.repeated_calls() <= THREADS
    assert worker.slots().isdisjoint(slots)
    await faults.check_history(job_id)


async def test_a_job_that_kills_every_worker_is_failed(faults: Stage) -> None:
    worker = await faults.worker(MAX_LOSSES="2")
    job_id = await faults.submit()

    for attempt in (1, 2):
        await faults.until(job_id, lambda job, attempt=attempt: job.attempt == attempt and job.owner is not None)
        worker.send(signal.SIGKILL, *worker.slots())
    job = await faults.until_ended(job_id)

    assert (job.status, job.termination_reason, job.losses) == (JobStatus.FAILED, "lost", 2)
    await faults.check_history(job_id)


async def test_a_worker_that_stood_still_for_two_leases_writes_nothing_more(faults: Stage) -> None:
    await faults.two_workers()
    job_id = await faults.submit()
    await faults.until_calls(30)
    first = await faults.holder(job_id)
    frozen, runners = first.family(), first.runners()

    first.send(signal.SIGSTOP, *frozen)
    await faults.until(job_id, lambda job: job.attempt > 1)
    first.send(signal.SIGCONT, *frozen)
    wait_until(lambda: not any(map(is_alive, runners)), seconds=5)
    job = await faults.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 1)
    assert faults.repeated_calls() <= THREADS
    await faults.check_history(job_id)
