"""Case 11: a job is cancelled in every state and phase, and at the very moment of its end."""

import asyncio
import signal
import time

import pytest

from dspy_service.domain.errors import JobStateError
from dspy_service.domain.job import Job, JobStatus, Wish
from tests.support.faults.lifetimes import survivors
from tests.support.faults.platform_marks import on_crew, on_linux
from tests.support.faults.proxy import Moment
from tests.support.faults.stage import Stage, slow_learner
from tests.support.openai_server import Script
from tests.support.processes import wait_until
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, on_crew, on_linux]

DEAD_SECONDS = 10.0
SMALL = {"optimizer_kwargs": {"num_candidate_programs": 1, "max_bootstrapped_demos": 1, "num_threads": 4}}
PHASES = {"baseline": "dataset_splits_ready", "compile": "optimizer_started", "final": "optimizer_finished"}
"""Each with the progress event that begins it."""


async def test_a_job_that_waits_is_cancelled_at_once_and_never_runs(crew: Stage) -> None:
    for worker in crew.workers:
        worker.send(signal.SIGSTOP)
    job_id = await crew.submit()

    await crew.jobs.wish(job_id, Wish.CANCEL)
    for worker in crew.workers:
        worker.send(signal.SIGCONT)
    job = await crew.until_ended(job_id)

    assert (job.status, job.attempt) == (JobStatus.CANCELLED, 0)
    assert crew.provider.received == []
    assert await crew.violations() == []


async def test_a_job_that_is_paused_is_cancelled_at_once(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until(job_id, lambda job: job.best is not None)
    await crew.jobs.wish(job_id, Wish.PAUSE)
    await crew.until(job_id, lambda job: job.status is JobStatus.PAUSED)

    cancelled = await crew.jobs.wish(job_id, Wish.CANCEL)
    job = await crew.until_ended(job_id)

    assert cancelled.status is JobStatus.CANCELLED
    assert (job.attempt, job.has_artifact) == (1, True)
    assert await crew.violations() == []


async def test_a_job_that_is_validated_is_cancelled(crew: Stage) -> None:
    catch = crew.catch("advance", Moment.BEFORE)
    job_id = await crew.submit()
    await crew.caught(catch)

    job = await cancelled(crew, job_id)
    catch.released.set()

    assert (job.status, job.attempt) == (JobStatus.CANCELLED, 1)
    assert await crew.violations() == []


@pytest.mark.parametrize("phase", PHASES)
async def test_a_job_is_cancelled_in_every_phase(crew: Stage, phase: str) -> None:
    crew.provider.script = slow_in(phase)
    optimizer = {"optimizer_name": "labeled_few_shot", "optimizer_kwargs": {"k": 4}} if phase == "final" else SMALL
    job_id = await crew.submit(**optimizer)
    await until(lambda: tells(crew, job_id, PHASES[phase]), seconds=60)

    job = await cancelled(crew, job_id)

    assert (job.status, job.termination_reason, job.attempt) == (JobStatus.CANCELLED, "cancelled", 1)
    assert job.has_artifact or job.best is None
    assert await crew.violations() == []


def slow_in(phase: str) -> Script:
    """Answer as the demo model does; in one phase slowly, so that no job ends before it is cancelled.

    Only prompts of the baseline have no examples, which are messages of their own.
    """
    quick, slow = slow_learner(0.03), slow_learner(3)
    return lambda body: (slow if (len(body["messages"]) > 2) == (phase != "baseline") else quick)(body)


async def test_a_cancel_just_before_the_end_lets_the_end_win(crew: Stage) -> None:
    catch = crew.catch("finish", Moment.BEFORE)
    job_id = await crew.submit(**SMALL)
    await crew.caught(catch)

    wished = await crew.jobs.wish(job_id, Wish.CANCEL)
    catch.released.set()
    job = await crew.until_ended(job_id)

    assert (wished.status, wished.wish) == (JobStatus.RUNNING, Wish.CANCEL)
    assert (job.status, job.wish) == (JobStatus.SUCCESS, Wish.GO_ON)
    assert await crew.violations() == []


async def test_a_cancel_just_after_the_end_is_refused(crew: Stage) -> None:
    catch = crew.catch("finish", Moment.AFTER)
    job_id = await crew.submit(**SMALL)
    await crew.caught(catch)

    with pytest.raises(JobStateError):
        await crew.jobs.wish(job_id, Wish.CANCEL)
    catch.released.set()
    job = await crew.until_ended(job_id)

    assert (job.status, job.attempt) == (JobStatus.SUCCESS, 1)
    assert await crew.violations() == []


async def cancelled(crew: Stage, job_id: str) -> Job:
    """Cancel a job that a worker holds; its runner is dead, and its model silent, in time."""
    runners = (await crew.holder(job_id)).runners()
    asked_at = time.monotonic()
    await crew.jobs.wish(job_id, Wish.CANCEL)
    await crew.until(job_id, lambda job: job.status.is_terminal, seconds=DEAD_SECONDS)
    calls = len(crew.provider.received)
    await asyncio.to_thread(wait_until, lambda: not survivors(runners), seconds=DEAD_SECONDS)
    assert time.monotonic() - asked_at < DEAD_SECONDS
    job = await crew.until_ended(job_id)
    assert len(crew.provider.received) == calls
    return job


async def tells(crew: Stage, job_id: str, name: str) -> bool:
    """Whether the log has a progress event of that name."""
    return any(event.data.get("event") == name for event in await crew.events(job_id))
