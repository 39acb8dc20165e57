"""A running job that is cancelled, paused, resumed or retried."""

import asyncio
import signal

import pytest

from dspy_service.domain.job import JobStatus
from dspy_service.usecases.control_job import cancel, pause, resume, retry
from dspy_service.usecases.read_artifact import read_artifact, read_result
from tests.integration.faults.stage import ON_LINUX, SECRET_KEY, Stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ON_LINUX, reason="reads /proc to see which processes are whose"),
]

KEY = SECRET_KEY.encode()


async def test_a_cancelled_job_keeps_the_best_program_and_calls_no_model_any_more(faults: Stage) -> None:
    await faults.worker()
    job_id = await faults.submit()
    await faults.until(job_id, lambda job: job.best is not None)

    await cancel(job_id, tenant="local", jobs=faults.jobs)
    async with asyncio.timeout(2):
        job = await faults.until(job_id, lambda job: job.status.is_terminal)
    calls = len(faults.provider.received)
    job = await faults.until_ended(job_id)
    artifact = await read_artifact(job_id, tenant="local", jobs=faults.jobs, artifacts=faults.artifacts, secret_key=KEY)

    assert (job.status, job.termination_reason, job.has_artifact) == (JobStatus.CANCELLED, "cancelled", True)
    assert artifact.program_artifact.program_pickle_base64
    assert len(faults.provider.received) == calls
    await faults.check_history(job_id)


async def test_a_paused_job_goes_on_at_another_worker_without_repeating_a_call(faults: Stage) -> None:
    first = await faults.worker()
    job_id = await faults.submit()
    await faults.until_calls(30)

    await pause(job_id, tenant="local", jobs=faults.jobs)
    paused = await faults.until(job_id, lambda job: job.status is JobStatus.PAUSED, seconds=10)
    first.send(signal.SIGTERM)
    first.wait(seconds=20)
    calls = len(faults.provider.received)
    await faults.worker()
    await resume(job_id, tenant="local", jobs=faults.jobs)
    job = await faults.until_ended(job_id)

    result = await read_result(job, artifacts=faults.artifacts, secret_key=KEY)
    assert (paused.attempt, paused.losses, paused.owner) == (1, 0, None)
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 0)
    assert faults.repeated_calls() == 0
    assert len(faults.provider.received) > calls
    assert result.usage.total_calls == len(faults.provider.received)
    await faults.check_history(job_id)


async def test_a_retry_pays_for_no_call_twice(faults: Stage) -> None:
    await faults.worker(JOB_SECONDS="3600", MAX_LOSSES="1")
    job_id = await faults.submit()
    await faults.until_calls(40)
    worker = faults.workers[0]
    worker.send(signal.SIGKILL, *worker.slots())
    lost = await faults.until_ended(job_id)

    await retry(job_id, tenant="local", jobs=faults.jobs, artifacts=faults.artifacts, secret_key=KEY)
    job = await faults.until(job_id, lambda job: job.status is JobStatus.SUCCESS, seconds=90)

    assert (lost.status, lost.termination_reason) == (JobStatus.FAILED, "lost")
    assert (job.attempt, job.losses) == (2, 0)
    assert faults.repeated_calls() <= 4
