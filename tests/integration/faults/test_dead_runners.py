"""Case 1, the job's own process: its death is known at once, and costs no model call."""

import signal
import time

import pytest

from dspy_service.domain.job import JobStatus
from tests.support.faults.lifetimes import survivors
from tests.support.faults.platform_marks import on_crew, on_linux
from tests.support.faults.proxy import Moment
from tests.support.faults.stage import Stage
from tests.support.faults.worker_process import WorkerProcess
from tests.support.processes import wait_until

pytestmark = [pytest.mark.slow, on_crew, on_linux]

KNOWN_SECONDS = 2.0
SMALL = {"optimizer_kwargs": {"num_candidate_programs": 1, "max_bootstrapped_demos": 1, "num_threads": 4}}


async def test_a_job_whose_runner_dies_has_failed_at_once_and_a_retry_repeats_no_call(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until_calls(20)
    worker = await crew.holder(job_id)

    killed_at = time.monotonic()
    kill_runners(worker)
    job = await crew.until(job_id, lambda job: job.status.is_terminal)
    known_after = time.monotonic() - killed_at
    await crew.retry(job_id)
    retried = await crew.until(job_id, lambda job: job.status is JobStatus.SUCCESS)
    await crew.until_ended(job_id)

    assert known_after <= KNOWN_SECONDS
    assert (job.status, job.termination_reason, job.losses) == (JobStatus.FAILED, "error", 0)
    assert (retried.attempt, retried.losses) == (2, 0)
    assert crew.repeated_calls() == 0
    assert await crew.violations() == []


async def test_a_runner_that_dies_before_it_has_a_job_is_replaced(crew: Stage) -> None:
    for worker in crew.workers:
        kill_runners(worker)

    job = await crew.until_ended(await crew.submit(**SMALL))

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert await crew.violations() == []


@pytest.mark.parametrize("verb", ["claim", "finish"])
async def test_a_runner_that_dies_before_its_job_begins_or_after_it_ended_costs_nothing(crew: Stage, verb: str) -> None:
    catch = crew.catch(verb, Moment.AFTER)
    job_id = await crew.submit(**SMALL)
    worker = await crew.caught(catch)

    kill_runners(worker)
    catch.released.set()
    job = await crew.until_ended(job_id)

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert crew.repeated_calls() == 0
    assert await crew.violations() == []


def kill_runners(worker: WorkerProcess) -> None:
    runners = worker.runners()
    worker.send(signal.SIGKILL, runners)
    wait_until(lambda: not survivors(runners))
