"""The store goes away and comes back: jobs go on where they are, and workers take new ones afterwards."""

import pytest

from dspy_service.domain.job import JobStatus
from tests.support.faults.lifetimes import survivors
from tests.support.faults.platform_marks import on_crew, on_linux
from tests.support.faults.stage import LEASE_SECONDS, Stage
from tests.support.processes import state_of, wait_until

pytestmark = [pytest.mark.slow, on_linux]


@on_crew
async def test_a_job_outlives_a_restart_of_the_store(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until_calls(30)

    crew.store.kill()
    crew.store.restart()
    job = await crew.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert crew.repeated_calls() == 0
    assert await crew.violations() == []


@on_crew
async def test_a_job_stands_still_before_its_lease_can_end_and_goes_on_afterwards(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until_calls(30)
    worker = await crew.holder(job_id)

    crew.store.kill()
    wait_until(lambda: any(state_of(runner.pid) == "T" for runner in worker.runners()), seconds=LEASE_SECONDS + 2)
    crew.store.restart()
    job = await crew.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert crew.repeated_calls() == 0
    assert await crew.violations() == []


@on_crew
async def test_a_job_that_was_given_up_while_the_store_was_away_is_no_loss(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until_calls(30)
    runners = (await crew.holder(job_id)).runners()

    crew.store.kill()
    wait_until(lambda: not survivors(runners), seconds=2 * LEASE_SECONDS + 3)
    crew.store.restart()
    job = await crew.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 0)
    assert crew.repeated_calls() <= 4
    assert await crew.violations() == []


@pytest.mark.parametrize("slots", [1, 2])
async def test_a_worker_takes_jobs_after_restarts_of_the_store(faults: Stage, slots: int) -> None:
    worker = await faults.worker(slots=slots)
    busy = await faults.submit()
    await faults.until_calls(10)

    for _ in range(3):
        faults.store.kill()
        faults.store.restart()
        await faults.until(busy, lambda _job: True)
    later = [await faults.submit(optimizer_name="labeled_few_shot", optimizer_kwargs={}) for _ in range(3)]
    ended = [await faults.until_ended(job_id) for job_id in (busy, *later)]

    assert [job.status for job in ended] == [JobStatus.SUCCESS] * 4
    assert worker.process.poll() is None
    assert "Unrecoverable error" not in worker.output
