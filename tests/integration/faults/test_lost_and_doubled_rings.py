"""Cases 3 and 10: doorbells that are lost or doubled, and submits that come twice."""

import asyncio
import signal
import time

import httpx
import pytest

from dspy_service.adapters.celery_doorbell import CeleryDoorbell
from dspy_service.adapters.job_record import LONGEST_RING_SECONDS
from dspy_service.domain.job import JobStatus
from tests.support.faults.platform_marks import on_crew, on_linux
from tests.support.faults.proxy import Catch, Moment
from tests.support.faults.stage import Stage
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, on_crew, on_linux]

SMALL = {"optimizer_kwargs": {"num_candidate_programs": 1, "max_bootstrapped_demos": 1, "num_threads": 4}}
RINGS = 100
POSTS = 50


async def test_a_ring_that_dies_with_its_worker_is_rung_again(crew: Stage) -> None:
    """The worker stands still, Redis hands it the ring, and both are gone.

    The test rings itself: whoever dispatches is as good as any other, and this one must know when the ring was taken.
    """
    bell = CeleryDoorbell(crew.store.url)
    for worker in crew.workers:
        if worker.is_running:
            worker.send(signal.SIGSTOP)
    job_id = await crew.submit(**SMALL)
    rung = await crew.jobs.due(limit=10)
    await bell.ring(job_id)
    await until(lambda: _is_empty(bell))

    for worker in crew.workers:
        if worker.is_running:
            worker.kill()
    lost_at = time.monotonic()
    await crew.crew(1)
    ready_after = time.monotonic() - lost_at
    await crew.until(job_id, lambda job: job.attempt == 1)
    taken_after = time.monotonic() - lost_at
    job = await crew.until_ended(job_id)

    assert rung == [job_id]
    assert taken_after <= ready_after + LONGEST_RING_SECONDS
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert await crew.violations() == []
    await bell.aclose()


async def test_a_hundred_rings_for_one_job_are_one_run(crew: Stage) -> None:
    bell = CeleryDoorbell(crew.store.url)
    job_id = await crew.submit(**SMALL)

    await asyncio.gather(*(bell.ring(job_id) for _ in range(RINGS // 2)))
    await crew.until(job_id, lambda job: job.attempt > 0)
    await asyncio.gather(*(bell.ring(job_id) for _ in range(RINGS // 2)))
    await crew.until_ended(job_id)
    await bell.ring(job_id)
    await until(lambda: _is_empty(bell), seconds=30)
    job = await crew.until_ended(await crew.submit(**SMALL))

    assert (job.status, job.attempt) == (JobStatus.SUCCESS, 1)
    assert await crew.states(crew.submitted[0]) == ["pending", "validating", "running", "success"]
    assert crew.repeated_calls() == len(crew.provider.received) // 2, "each of two equal jobs asks everything once"
    assert await crew.violations() == []
    await bell.aclose()


async def test_fifty_posts_at_once_with_one_key_are_one_job_that_runs_once(crew: Stage) -> None:
    """Although the store's reply to the first is lost after the commit, and the API asks again."""
    way, lost = crew.proxy(), Catch("create", Moment.AFTER, hangs_up=True)
    api = await crew.api(through=way, ALLOWED_BASE_URLS=crew.provider.base_url)
    body, headers = crew.request(**SMALL), {"Idempotency-Key": "night-1"}
    way.catch(lost)

    async with httpx.AsyncClient(base_url=api.base_url, trust_env=False, timeout=60) as http:
        answers = await asyncio.gather(*(http.post("/run", json=body, headers=headers) for _ in range(POSTS)))
        listed = (await http.get("/jobs")).json()["data"]

    assert lost.reached.is_set()
    assert {answer.status_code for answer in answers} == {200}
    [job_id] = {answer.json()["job_id"] for answer in answers}
    crew.submitted.append(job_id)
    job = await crew.until_ended(job_id)
    assert (job.status, job.attempt) == (JobStatus.SUCCESS, 1)
    assert sum(view["job_id"] == job_id for view in listed) == 1
    assert crew.repeated_calls() == 0
    assert await crew.violations() == []


async def _is_empty(bell: CeleryDoorbell) -> bool:
    return await bell.waiting() == 0
