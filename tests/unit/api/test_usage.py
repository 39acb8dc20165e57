"""``GET /jobs/{job_id}/usage``: what the models cost, while the job runs and after."""

import httpx
import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.artifact_paths import RESULT
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import JobStatus
from dspy_service.domain.result import RoleUsage, StoredResult, Usage
from tests.support import working
from tests.support.signed import put_signed
from tests.unit.api.payloads import payload

TASK = RoleUsage(
    model="openai/small", calls=30, cached_calls=10, prompt_tokens=300, completion_tokens=60, cost_usd=0.25
)
PROMPT = RoleUsage(
    model="openai/small", calls=2, estimated_calls=2, prompt_tokens=50, completion_tokens=20, cost_usd=0.05
)
REFLECTION = RoleUsage(model="local/large", calls=1, prompt_tokens=5, completion_tokens=5)


def usage_event(**roles: RoleUsage) -> NewEvent:
    data = {"roles": {role: used.model_dump(mode="json") for role, used in roles.items()}}
    return NewEvent(type=EventType.USAGE, data=data)


@pytest.fixture
async def job_id(client: httpx.AsyncClient) -> str:
    return str((await client.post("/run", json=payload())).json()["job_id"])


async def test_a_job_that_has_asked_nothing_has_cost_nothing(job_id: str, client: httpx.AsyncClient) -> None:
    usage = (await client.get(f"/jobs/{job_id}/usage")).json()

    assert (usage["job_id"], usage["is_final"], usage["total_calls"], usage["cost_usd"]) == (job_id, False, 0, None)
    assert (usage["roles"], usage["models"], usage["cache_hit_rate"]) == ({}, {}, None)


async def test_a_running_job_shows_the_newest_figures(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    fence = await working.start(jobs, job_id)
    await jobs.append(job_id, fence=fence, events=[usage_event(task=PROMPT), usage_event(task=TASK, prompt=PROMPT)])
    await jobs.append(job_id, fence=fence, events=[working.EVENTS_OF_A_RUN[1]] * 250)

    usage = (await client.get(f"/jobs/{job_id}/usage")).json()

    assert (usage["is_final"], usage["total_calls"], usage["total_tokens"]) == (False, 32, 430)
    assert usage["cost_usd"] == pytest.approx(0.3)
    assert usage["cache_hit_rate"] == pytest.approx(10 / 42)
    assert usage["roles"]["task"]["cached_calls"] == 10
    assert set(usage["models"]) == {"openai/small"}
    assert usage["models"]["openai/small"]["calls"] == 32
    assert usage["estimated_calls"] == usage["models"]["openai/small"]["estimated_calls"] == 2
    assert usage["roles"]["task"]["estimated_calls"] == 0
    assert usage["models"]["openai/small"]["cost_usd"] == pytest.approx(0.3)


async def test_a_model_without_a_price_is_named_and_never_free(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    fence = await working.start(jobs, job_id)
    await jobs.append(job_id, fence=fence, events=[usage_event(task=TASK, reflection=REFLECTION)])

    usage = (await client.get(f"/jobs/{job_id}/usage")).json()

    assert usage["cost_usd"] is None
    assert usage["unpriced_models"] == ["local/large"]
    assert usage["models"]["local/large"]["cost_usd"] is None
    assert usage["models"]["openai/small"]["cost_usd"] == 0.25


async def test_an_ended_job_shows_what_its_result_says(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    fence = await working.start(jobs, job_id)
    await jobs.append(job_id, fence=fence, events=[usage_event(task=PROMPT)])
    result = StoredResult(
        module_name="predict",
        optimizer_name="miprov2",
        termination_reason="completed",
        usage=Usage(roles={"task": TASK}, total_calls=30, total_tokens=360, cost_usd=0.25, prices_as_of="2026-01-01"),
    )
    folder = await put_signed(await jobs.get(job_id), {RESULT: result.model_dump_json().encode()}, artifacts)
    await working.end(jobs, job_id, fence, status=JobStatus.FAILED, reason="error", folder=folder)

    usage = (await client.get(f"/jobs/{job_id}/usage")).json()

    assert (usage["is_final"], usage["total_calls"], usage["prices_as_of"]) == (True, 30, "2026-01-01")


async def test_a_job_that_ended_without_a_worker_shows_what_was_told(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    fence = await working.start(jobs, job_id)
    await jobs.append(job_id, fence=fence, events=[usage_event(task=TASK)])
    await jobs.release(job_id, fence=fence)
    await client.post(f"/jobs/{job_id}/cancel")
    await working.archive(jobs, artifacts, job_id)

    usage = (await client.get(f"/jobs/{job_id}/usage")).json()

    assert (usage["is_final"], usage["total_calls"]) == (True, 30)
