"""Case 1: a worker, a slot or a runner is killed at one exact step of a job."""

import signal
import time

import pytest

from dspy_service.domain.job import JobStatus
from tests.support.faults.lifetimes import survivors
from tests.support.faults.platform_marks import on_crew, on_linux
from tests.support.faults.proxy import Moment
from tests.support.faults.stage import LEASE_SECONDS, Stage
from tests.support.faults.worker_process import WorkerProcess
from tests.support.processes import wait_until

pytestmark = [pytest.mark.slow, on_crew, on_linux]

RECLAIM_SECONDS = LEASE_SECONDS + 4
SMALL = {"optimizer_kwargs": {"num_candidate_programs": 1, "max_bootstrapped_demos": 1, "num_threads": 4}}

STEPS = {
    "before the claim": ("claim", Moment.BEFORE, 1, 0),
    "after the claim": ("claim", Moment.AFTER, 2, 1),
    "before the end": ("finish", Moment.BEFORE, 2, 1),
    "after the end": ("finish", Moment.AFTER, 1, 0),
}
"""Where; and then attempts and losses of the job."""


@pytest.mark.parametrize("victim", ["worker", "slot"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_job_goes_on_wherever_its_worker_dies(crew: Stage, step: str, victim: str) -> None:
    verb, moment, attempts, losses = STEPS[step]
    catch = crew.catch(verb, moment)
    job_id = await crew.submit(**SMALL)
    worker = await crew.caught(catch)

    killed_at = time.monotonic()
    kill(worker, victim)
    job = await crew.until(job_id, lambda job: job.status.is_terminal or job.attempt == attempts)
    went_on_after = time.monotonic() - killed_at
    job = await crew.until_ended(job_id)

    assert went_on_after <= RECLAIM_SECONDS
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, attempts, losses)
    assert crew.repeated_calls() == 0
    assert await crew.violations() == []


def kill(worker: WorkerProcess, victim: str) -> None:
    if victim == "worker":
        worker.kill()
        return
    slots = worker.slots()
    worker.send(signal.SIGKILL, slots)
    wait_until(lambda: not survivors(slots))
