"""Case 9: submitted code that kills itself, eats memory, forks or prints without end harms no other job."""

import pytest

from dspy_service.domain.events import EventType
from dspy_service.domain.job import JobStatus
from tests.support.faults.platform_marks import on_linux
from tests.support.faults.stage import Stage
from tests.support.payloads import METRIC

pytestmark = [pytest.mark.slow, on_linux]

OUTPUT_BYTES = 64 * 1024
POISON = {
    "runner_died": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "out_of_memory": "hoard = [bytearray(64 << 20) for _ in range(64)]",
    "metric_error": "import os; [os.fork() for _ in range(10)]",
}
"""By the kind of failure that it must become. A thousand processes would be enough to see; a bomb has no bound."""
FLOOD = "for _ in range(64): print('x' * (1 << 20))"


async def test_poison_fails_its_own_job_and_no_other(faults: Stage) -> None:
    worker = await faults.worker(slots=2, RUNNER_MEMORY_BYTES=str(320 * 1024**2), RUNNER_OUTPUT_BYTES=str(OUTPUT_BYTES))
    poisoned = {kind: await faults.submit(metric_code=with_first_line(code)) for kind, code in POISON.items()}
    neighbours = [await faults.submit(**changes) for changes in ({}, {"metric_code": with_first_line(FLOOD)})]

    failed = {kind: await faults.until_ended(job_id) for kind, job_id in poisoned.items()}
    succeeded = [await faults.until_ended(job_id) for job_id in neighbours]

    for kind, job in failed.items():
        assert (job.status, job.termination_reason, job.attempt, job.losses) == (JobStatus.FAILED, "error", 1, 0), kind
    assert {(job.status, job.attempt, job.losses) for job in succeeded} == {(JobStatus.SUCCESS, 1, 0)}
    assert await printed_bytes(faults, neighbours[1]) < 2 * OUTPUT_BYTES
    assert worker.is_running
    assert len(worker.slots()) == 2
    assert await faults.violations() == []


def with_first_line(line: str) -> str:
    """Return the usual metric that does something else first."""
    head, _, body = METRIC.strip().partition("\n")
    return f"{head}\n    {line}\n{body}"


async def printed_bytes(stage: Stage, job_id: str) -> int:
    """Return how much of what the job printed was kept."""
    logs = [event for event in await stage.events(job_id) if event.type is EventType.LOG]
    return sum(len(str(event.data["message"])) for event in logs)
