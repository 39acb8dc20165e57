"""A worker that is killed loses its job to another one, which repeats at most the calls that were in flight."""

import signal
import time

import pytest

from dspy_service.domain.job import JobStatus
from tests.support.faults.lifetimes import survivors
from tests.support.faults.platform_marks import on_crew, on_linux
from tests.support.faults.stage import LEASE_SECONDS, Stage
from tests.support.processes import wait_until

pytestmark = [pytest.mark.slow, on_linux]

THREADS = 4
RECLAIM_SECONDS = LEASE_SECONDS + 4
NEW_SLOT_SECONDS = 10  # its parent sees the death within a second; then two shared cores start another slot


@on_crew
async def test_the_job_of_a_killed_worker_goes_on_at_another_one(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until_calls(30)
    first = await crew.holder(job_id)
    family = first.family()

    killed_at = time.monotonic()
    first.send(signal.SIGKILL)
    await crew.until(job_id, lambda job: job.attempt > 1)
    reclaimed_after = time.monotonic() - killed_at
    job = await crew.until_ended(job_id)

    assert reclaimed_after <= RECLAIM_SECONDS
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 1)
    assert crew.repeated_calls() <= THREADS
    assert await crew.states(job_id) == [
        "pending",
        "validating",
        "running",
        "pending",
        "validating",
        "running",
        "success",
    ]
    assert await crew.violations() == []
    wait_until(lambda: not survivors(family))


@on_crew
async def test_the_job_of_a_killed_slot_goes_on_at_either_worker(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until_calls(30)
    worker = await crew.holder(job_id)
    slots, runners = worker.slots(), worker.runners()

    killed_at = time.monotonic()
    worker.send(signal.SIGKILL, slots)
    wait_until(lambda: not survivors(runners), seconds=2)
    await crew.until(job_id, lambda job: job.attempt > 1)
    reclaimed_after = time.monotonic() - killed_at
    job = await crew.until_ended(job_id)

    assert reclaimed_after <= RECLAIM_SECONDS
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 1)
    assert crew.repeated_calls() <= THREADS
    wait_until(lambda: len(worker.slots() - slots) == 1)
    assert await crew.violations() == []


async def test_a_slot_that_dies_alone_does_not_cost_its_job_a_lease(faults: Stage) -> None:
    worker = await faults.worker(LEASE_SECONDS="60")
    job_id = await faults.submit()
    await faults.until_calls(30)
    slots, runners = worker.slots(), worker.runners()

    killed_at = time.monotonic()
    worker.send(signal.SIGKILL, slots)
    await faults.until(job_id, lambda job: job.losses == 1)
    survived = survivors(runners)
    await faults.until(job_id, lambda job: job.attempt > 1)
    reclaimed_after = time.monotonic() - killed_at
    job = await faults.until_ended(job_id)

    assert survived == []
    assert reclaimed_after <= NEW_SLOT_SECONDS
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 1)
    assert faults.repeated_calls() <= THREADS
    assert await faults.violations() == []


async def test_a_job_that_kills_every_worker_is_failed(faults: Stage) -> None:
    faults.max_losses = 2
    worker = await faults.worker()
    job_id = await faults.submit()

    for attempt in (1, 2):
        await faults.until(job_id, lambda job, attempt=attempt: job.attempt == attempt and job.owner is not None)
        worker.send(signal.SIGKILL, worker.slots())
    job = await faults.until_ended(job_id)

    assert (job.status, job.termination_reason, job.losses) == (JobStatus.FAILED, "lost", 2)
    assert await faults.violations() == []


@on_crew
async def test_a_worker_that_stood_still_for_two_leases_writes_nothing_more(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until_calls(30)
    first = await crew.holder(job_id)
    frozen, runners = first.family(), first.runners()

    first.send(signal.SIGSTOP, frozen)
    await crew.until(job_id, lambda job: job.attempt > 1)
    first.send(signal.SIGCONT, frozen)
    wait_until(lambda: not survivors(runners), seconds=5)
    job = await crew.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 1)
    assert crew.repeated_calls() <= THREADS
    assert await crew.violations() == []
