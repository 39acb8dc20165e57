"""A running job that is cancelled, paused, resumed or retried."""

import asyncio
import signal
from datetime import UTC, datetime

import pytest

from dspy_service.domain.job import JobStatus
from dspy_service.usecases.control_job import cancel, pause, resume
from dspy_service.usecases.read_artifact import read_artifact, read_result
from tests.support.faults.platform_marks import on_crew, on_linux
from tests.support.faults.stage import SECRET_KEY, Stage

pytestmark = [pytest.mark.slow, on_linux]

KEY = SECRET_KEY.encode()


@on_crew
async def test_a_cancelled_job_keeps_the_best_program_and_calls_no_model_any_more(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until(job_id, lambda job: job.best is not None)

    await cancel(job_id, tenant="local", jobs=crew.jobs)
    async with asyncio.timeout(2):
        job = await crew.until(job_id, lambda job: job.status.is_terminal)
    calls = len(crew.provider.received)
    job = await crew.until_ended(job_id)
    artifact = await read_artifact(job_id, tenant="local", jobs=crew.jobs, artifacts=crew.artifacts, secret_key=KEY)

    assert (job.status, job.termination_reason, job.has_artifact) == (JobStatus.CANCELLED, "cancelled", True)
    assert artifact.program_artifact.program_pickle_base64
    assert len(crew.provider.received) == calls
    assert await crew.violations() == []


@on_crew
async def test_a_paused_job_goes_on_at_another_worker_without_repeating_a_call(crew: Stage) -> None:
    job_id = await crew.submit()
    await crew.until_calls(30)
    first = await crew.holder(job_id)

    await pause(job_id, tenant="local", jobs=crew.jobs)
    paused = await crew.until(job_id, lambda job: job.status is JobStatus.PAUSED, seconds=10)
    first.kill()
    calls = len(crew.provider.received)
    await resume(job_id, tenant="local", jobs=crew.jobs)
    job = await crew.until_ended(job_id)

    result = await read_result(job, artifacts=crew.artifacts, secret_key=KEY)
    assert (paused.attempt, paused.losses, paused.owner) == (1, 0, None)
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 0)
    assert crew.repeated_calls() == 0
    assert len(crew.provider.received) > calls
    assert result.usage.total_calls == len(crew.provider.received)
    assert await crew.violations() == []


async def test_a_job_whose_only_worker_is_gone_is_cancelled_without_another(faults: Stage) -> None:
    worker = await faults.worker()
    job_id = await faults.submit()
    held = await faults.until(job_id, lambda job: job.best is not None)
    worker.send(signal.SIGKILL, worker.family())

    await faults.until(job_id, lambda job: job.leased_until is not None and job.leased_until < datetime.now(UTC))
    job = await cancel(job_id, tenant="local", jobs=faults.jobs)
    await faults.worker()
    ended = await faults.until_ended(job_id)

    assert (job.status, job.message, job.has_artifact) == (JobStatus.CANCELLED, "cancelled", True)
    assert (ended.attempt, ended.fence) == (1, held.fence + 1)
    assert await faults.violations() == []


async def test_a_retry_pays_for_no_call_twice(faults: Stage) -> None:
    faults.max_losses = 1
    await faults.worker()
    job_id = await faults.submit()
    await faults.until_calls(40)
    worker = faults.workers[0]
    worker.send(signal.SIGKILL, worker.slots())
    lost = await faults.until_ended(job_id)

    await faults.retry(job_id)
    await faults.until(job_id, lambda job: job.status is JobStatus.SUCCESS, seconds=90)
    job = await faults.until_ended(job_id)

    assert (lost.status, lost.termination_reason) == (JobStatus.FAILED, "lost")
    assert (job.attempt, job.losses) == (2, 0)
    assert faults.repeated_calls() <= 4
    assert await faults.violations() == []
