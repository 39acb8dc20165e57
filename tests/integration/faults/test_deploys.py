"""A worker that is told to end hands its job back in time: nothing is lost, repeated or counted against the job."""

import signal
from datetime import UTC, datetime

import pytest

from dspy_service.domain.job import JobStatus
from tests.support.faults.platform_marks import on_crew, on_linux
from tests.support.faults.stage import Stage, slow_learner
from tests.support.processes import wait_until

pytestmark = [pytest.mark.slow, on_linux]

HAND_BACK_SECONDS = 2.0
END_SECONDS = HAND_BACK_SECONDS + 5  # two cores that others use too; an idle Celery needs almost three by itself


@pytest.mark.parametrize("whole_group", [False, True], ids=["parent", "whole group"])
@on_crew
async def test_a_sigterm_hands_the_job_back(crew: Stage, *, whole_group: bool) -> None:
    job_id = await crew.submit()
    await crew.until_calls(30)
    first = await crew.holder(job_id)

    first.send(signal.SIGTERM, first.family() if whole_group else None)
    took_seconds = first.wait(seconds=20)
    job = await crew.until_ended(job_id)

    assert took_seconds <= END_SECONDS, first.output
    assert first.process.returncode == 0
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 0)
    assert crew.repeated_calls() == 0
    assert "Traceback" not in first.output
    assert await crew.violations() == []


@on_crew
async def test_a_sigterm_to_a_slot_alone_hands_its_job_back_and_brings_a_new_slot(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until_calls(30)
    worker = await crew.holder(job_id)
    slots = worker.slots()

    worker.send(signal.SIGTERM, slots)
    job = await crew.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 0)
    assert crew.repeated_calls() == 0
    wait_until(lambda: len(worker.slots() - slots) == 1)
    assert await crew.violations() == []


async def test_calls_that_take_too_long_are_not_waited_for(faults: Stage) -> None:
    faults.provider.script = slow_learner(60)
    first = await faults.worker()
    job_id = await faults.submit()
    await faults.until_calls(1)

    told_at = datetime.now(UTC)
    first.send(signal.SIGTERM)
    took_seconds = first.wait(seconds=20)

    job = await faults.job(job_id)
    assert (job.queued_at - told_at).total_seconds() <= HAND_BACK_SECONDS, first.output
    assert took_seconds <= END_SECONDS, first.output
    assert (job.status, job.losses) == (JobStatus.PENDING, 0)


async def test_an_idle_worker_ends_at_once(faults: Stage) -> None:
    worker = await faults.worker(slots=2)

    worker.send(signal.SIGTERM, worker.family())

    assert worker.wait(seconds=20) <= END_SECONDS
    assert worker.process.returncode == 0
    assert await faults.jobs.live_workers() == []
