"""Cases 4 and 5: the store is killed, or stands still, under clients that submit, watch and wait over HTTP."""

import asyncio
import statistics
import time
from contextlib import aclosing

import httpx
import pytest

from dspy_service.client import AsyncClient
from dspy_service.domain.job import JobStatus
from tests.support.faults.platform_marks import on_linux
from tests.support.faults.proxy import Moment
from tests.support.faults.stage import LEASE_SECONDS, Stage
from tests.support.platforms import Started
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, on_linux]

REFUSED_SECONDS = 3.0
LAG_SECONDS = 0.1
SMALL = {"optimizer_kwargs": {"num_candidate_programs": 1, "max_bootstrapped_demos": 1, "num_threads": 4}}


@pytest.fixture
async def served(faults: Stage) -> tuple[Stage, Started]:
    """A stage with an API and one worker."""
    api, _ = await asyncio.gather(
        faults.api(ALLOWED_BASE_URLS=faults.provider.base_url), faults.worker(through=faults.proxy())
    )
    return faults, api


async def test_no_submit_that_was_acknowledged_is_lost_while_the_store_restarts(served: tuple[Stage, Started]) -> None:
    stage, api = served
    body = stage.request(optimizer_name="labeled_few_shot", optimizer_kwargs={"k": 4})
    seen: list[int] = []

    async def submit(number: int, http: httpx.AsyncClient) -> None:
        """Hand in one job, again and again under one key until it is accepted."""
        while True:
            answer = await http.post("/run", json=body, headers={"Idempotency-Key": f"job {number}"})
            seen.append(answer.status_code)
            if answer.status_code == httpx.codes.OK:
                stage.submitted.append(answer.json()["job_id"])
                return
            assert "retry-after" in answer.headers

    async with (
        httpx.AsyncClient(base_url=api.base_url, trust_env=False, timeout=30) as http,
        asyncio.TaskGroup() as all_,
    ):
        for number in range(4):
            all_.create_task(submit(number, http))
        stage.store.kill()
        for number in range(4, 8):
            all_.create_task(submit(number, http))
        await until(lambda: _is_in(503, seen))
        stage.store.restart()
    jobs = [await stage.until_ended(job_id) for job_id in stage.submitted]

    assert set(seen) == {200, 503}
    assert len(set(stage.submitted)) == 8
    assert {job.status for job in jobs} == {JobStatus.SUCCESS}
    assert await stage.violations() == []


async def test_a_job_that_ends_while_the_store_dies_ends_once_and_its_watcher_misses_nothing(
    served: tuple[Stage, Started],
) -> None:
    stage, api = served
    catch = stage.catch("finish", Moment.AFTER)
    job_id = await stage.submit(**SMALL)
    watching = asyncio.create_task(_watched(api.base_url, job_id))
    await stage.until_calls(10)
    stage.store.kill()
    stage.store.restart()

    await stage.caught(catch)
    stage.store.kill()
    stage.store.restart()
    job = await stage.until_ended(job_id)

    async with asyncio.timeout(30):
        assert await watching == list(range(1, job.last_seq + 1))
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 1, 0)
    assert stage.repeated_calls() == 0
    assert await stage.violations() == []


async def test_a_store_that_stands_still_is_an_answer_within_three_seconds_and_stops_no_event_loop(
    served: tuple[Stage, Started],
) -> None:
    """For three leases, which is longer than any wait in the API; what a longer silence does to a job is case 6."""
    stage, api = served
    job_id = await stage.submit()
    await stage.until_calls(20)

    stage.store.freeze()
    frozen_at = time.monotonic()
    async with httpx.AsyncClient(base_url=api.base_url, trust_env=False, timeout=30) as http:
        submits = [asyncio.create_task(_timed(http.post("/run", json=stage.request(**SMALL)))) for _ in range(5)]
        lags = []
        while not all(submit.done() for submit in submits):
            lags.append((await _timed(http.get("/health/live")))[1])
        health = await http.get("/health")
        answers = [submit.result() for submit in submits]
        await until(lambda: _has_passed(frozen_at, 3 * LEASE_SECONDS), seconds=3 * LEASE_SECONDS + 1)
        stage.store.thaw()
        job = await stage.until_ended(job_id)
        afterwards = await http.get("/health/ready")

    assert {answer.status_code for answer, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) <= REFUSED_SECONDS
    assert statistics.median(lags) < LAG_SECONDS
    assert (health.status_code, afterwards.status_code) == (503, 200)
    assert (job.status, job.losses) == (JobStatus.SUCCESS, 0)
    assert await stage.violations() == []


async def _timed(request: asyncio.Future[httpx.Response]) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    return await request, time.monotonic() - began


async def _watched(url: str, job_id: str) -> list[int]:
    """Watch a job through the SDK to its end."""
    async with AsyncClient(url) as client, aclosing(client.watch(job_id)) as events:
        return [event.seq async for event in events]


async def _is_in(value: int, seen: list[int]) -> bool:
    return value in seen


async def _has_passed(since: float, seconds: float) -> bool:
    return time.monotonic() - since >= seconds
