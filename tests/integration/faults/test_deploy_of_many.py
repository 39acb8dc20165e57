"""Case 12: a deploy while three jobs run."""

import signal

import pytest

from dspy_service.domain.job import JobStatus
from tests.support.faults.platform_marks import on_linux
from tests.support.faults.stage import HAND_BACK_SECONDS, Stage

pytestmark = [pytest.mark.slow, on_linux]

END_SECONDS = HAND_BACK_SECONDS + 5  # two cores that others use too; an idle Celery needs almost three by itself


async def test_a_deploy_hands_three_running_jobs_on_without_a_loss(faults: Stage) -> None:
    old = await faults.worker(slots=3)
    job_ids = [await faults.submit(seed=seed) for seed in (1, 2, 3)]
    for job_id in job_ids:
        await faults.until(job_id, lambda job: job.status is JobStatus.RUNNING)
    await faults.until_calls(60)

    old.send(signal.SIGTERM)
    took_seconds = old.wait(seconds=20)
    handed_on = [await faults.job(job_id) for job_id in job_ids]
    await faults.worker(slots=3)
    jobs = [await faults.until_ended(job_id) for job_id in job_ids]

    assert took_seconds <= END_SECONDS, old.output
    assert {(job.status, job.attempt, job.losses) for job in handed_on} == {(JobStatus.PENDING, 1, 0)}
    assert {(job.status, job.attempt, job.losses) for job in jobs} == {(JobStatus.SUCCESS, 2, 0)}
    assert await faults.violations() == []
