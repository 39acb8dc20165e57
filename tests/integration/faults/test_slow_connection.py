"""Case 6, latency: half a second for a round trip makes a job slow, and nothing else."""

import pytest

from dspy_service.domain.job import JobStatus
from tests.support.faults.platform_marks import on_linux
from tests.support.faults.stage import Stage

pytestmark = [pytest.mark.slow, on_linux]

ROUND_TRIP_SECONDS = 0.5


async def test_a_job_outlives_half_a_second_of_latency(faults: Stage) -> None:
    """With a lease of eight seconds: to renew it on a new connection takes four round trips, and two tries must fit.

    The first job warms the worker up: its connections stand, and the store knows its scripts.
    """
    way = faults.proxy()
    await faults.worker(through=way, LEASE_SECONDS="8", HEARTBEAT_SECONDS="1")
    small: dict[str, object] = {"optimizer_name": "labeled_few_shot", "optimizer_kwargs": {"k": 4}}
    await faults.until_ended(await faults.submit(**small))
    way.latency_seconds = ROUND_TRIP_SECONDS / 2

    job = await faults.until_ended(await faults.submit(**small, seed=8))

    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert await faults.violations() == []
