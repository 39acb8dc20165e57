"""The store goes away and comes back: jobs go on where they are, and workers take new ones afterwards."""

import pytest

from dspy_service.domain.job import JobStatus
from tests.integration.faults.stage import LEASE_SECONDS, ON_LINUX, Stage
from tests.support.processes import is_alive, state_of, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ON_LINUX, reason="reads /proc to see which processes are whose"),
]


async def test_a_job_outlives_a_restart_of_the_store(faults: Stage) -> None:
    await faults.worker()
    job_id = await faults.submit()
    await faults.until_calls(30)

    faults.kill_store()
    faults.revive_store()
    job = await faults.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert faults.repeated_calls() == 0
    await faults.check_history(job_id)


async def test_a_job_stands_still_before_its_lease_can_end_and_goes_on_afterwards(faults: Stage) -> None:
    worker = await faults.worker()
    job_id = await faults.submit()
    await faults.until_calls(30)

    faults.kill_store()
    wait_until(lambda: any(state_of(pid) == "T" for pid in worker.runners()), seconds=LEASE_SECONDS + 2)
    faults.revive_store()
    job = await faults.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert faults.repeated_calls() == 0
    await faults.check_history(job_id)


async def test_a_job_that_was_given_up_while_the_store_was_away_is_no_loss(faults: Stage) -> None:
    worker = await faults.worker(STANDBY="false")
    job_id = await faults.submit()
    await faults.until_calls(30)
    runners = worker.runners()

    faults.kill_store()
    wait_until(lambda: not any(map(is_alive, runners)), seconds=2 * LEASE_SECONDS + 3)
    faults.revive_store()
    job = await faults.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 0)
    assert faults.repeated_calls() <= 4
    await faults.check_history(job_id)


@pytest.mark.parametrize("slots", [1, 2])
async def test_a_worker_takes_jobs_after_restarts_of_the_store(faults: Stage, slots: int) -> None:
    worker = await faults.worker(slots=slots)
    busy = await faults.submit()
    await faults.until_calls(10)

    for _ in range(3):
        faults.kill_store()
        faults.revive_store()
        await faults.until(busy, lambda _job: True)
    later = [await faults.submit(optimizer_name="labeled_few_shot", optimizer_kwargs={}) for _ in range(3)]
    ended = [await faults.until_ended(job_id) for job_id in (busy, *later)]

    assert [job.status for job in ended] == [JobStatus.SUCCESS] * 4
    assert worker.process.poll() is None
    assert "Unrecoverable error" not in worker.output
