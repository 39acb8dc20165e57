"""Case 8: the store's disk or its memory is full."""

import asyncio

import httpx
import pytest
import redis.asyncio as redis

from dspy_service.domain.job import JobStatus
from tests.support.faults.platform_marks import on_linux
from tests.support.faults.stage import Stage
from tests.support.platforms import Started
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, on_linux]

FULL = {"disk": ("fill_disk", "empty_disk"), "memory": ("fill_memory", "empty_memory")}


@pytest.fixture
async def served(faults: Stage) -> tuple[Stage, Started]:
    """A stage with an API and one worker."""
    api, _ = await asyncio.gather(faults.api(ALLOWED_BASE_URLS=faults.provider.base_url), faults.worker())
    return faults, api


@pytest.mark.parametrize("what", FULL)
async def test_a_full_store_refuses_jobs_whole_and_goes_on_by_itself(served: tuple[Stage, Started], what: str) -> None:
    stage, api = served
    fill, empty = FULL[what]
    running = await stage.submit()
    await stage.until_calls(20)
    body = stage.request(optimizer_name="labeled_few_shot", optimizer_kwargs={"k": 4})

    async with httpx.AsyncClient(base_url=api.base_url, trust_env=False, timeout=30) as http:

        async def is_refused() -> bool:
            """Submit until one is refused: Valkey notices a full disk when it writes."""
            answer = await http.post("/run", json=body)
            if answer.status_code == httpx.codes.OK:
                stage.submitted.append(answer.json()["job_id"])
            return answer.status_code == httpx.codes.SERVICE_UNAVAILABLE

        getattr(stage.store, fill)()
        await until(is_refused, seconds=10)
        records = await _records(stage)
        getattr(stage.store, empty)()
        await until(lambda: _is_accepted(stage, http, body), seconds=15)
    jobs = [await stage.until_ended(job_id) for job_id in stage.submitted]

    assert records == set(stage.submitted[:-1])
    assert [job.status for job in jobs] == [JobStatus.SUCCESS] * len(jobs)
    assert (jobs[0].job_id, jobs[0].losses) == (running, 0)
    assert await stage.violations() == []


async def _records(stage: Stage) -> set[str]:
    """Return the jobs that left any trace in the store."""
    async with redis.Redis.from_url(stage.store.url, decode_responses=True) as raw:
        return {str(key).split(":")[2] for key in await raw.keys("{dspy}:job:*")}


async def _is_accepted(stage: Stage, http: httpx.AsyncClient, body: object) -> bool:
    answer = await http.post("/run", json=body)
    if answer.status_code == httpx.codes.OK:
        stage.submitted.append(answer.json()["job_id"])
    return answer.status_code == httpx.codes.OK
