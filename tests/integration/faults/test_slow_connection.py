"""Case 6, latency: half a second for a round trip makes a job slow, and nothing else."""

import pytest

from dspy_service.domain.job import JobStatus
from tests.support.faults.platform_marks import on_linux
from tests.support.faults.stage import Stage

pytestmark = [pytest.mark.slow, on_linux]

ROUND_TRIP_SECONDS = 0.5


async def test_a_job_outlives_half_a_second_of_latency(lone_stage: Stage) -> None:
    """With a lease of eight seconds: to renew it on a new connection takes four round trips, and two tries must fit."""
    way = lone_stage.proxy()
    await lone_stage.worker(through=way, LEASE_SECONDS="8", HEARTBEAT_SECONDS="1")
    way.latency_seconds = ROUND_TRIP_SECONDS / 2

    job = await lone_stage.until_ended(
        await lone_stage.submit(optimizer_name="labeled_few_shot", optimizer_kwargs={"k": 4})
    )

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert lone_stage.repeated_calls() == 0
    assert await lone_stage.violations() == []
