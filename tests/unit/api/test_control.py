"""Cancel, pause, resume, retry and delete: what each does in each state, and that asking twice changes nothing."""

import httpx
import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.job import BestSoFar, Wish
from tests.support import working
from tests.unit.api.payloads import payload


@pytest.fixture
async def job_id(client: httpx.AsyncClient) -> str:
    return str((await client.post("/run", json=payload())).json()["job_id"])


async def ask(client: httpx.AsyncClient, job_id: str, verb: str) -> tuple[int, str, str | None]:
    answer = await client.post(f"/jobs/{job_id}/{verb}")
    body = answer.json()
    return answer.status_code, body.get("status", body.get("error")), body.get("requested")


async def test_a_waiting_job_obeys_at_once(job_id: str, client: httpx.AsyncClient) -> None:
    assert await ask(client, job_id, "pause") == (200, "paused", None)
    assert await ask(client, job_id, "pause") == (200, "paused", None)
    assert await ask(client, job_id, "resume") == (200, "pending", None)
    assert await ask(client, job_id, "resume") == (200, "pending", None)
    assert await ask(client, job_id, "cancel") == (200, "cancelled", None)
    assert await ask(client, job_id, "cancel") == (200, "cancelled", None)


async def test_a_running_job_shows_the_wish_until_its_worker_obeys(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    fence = await working.start(jobs, job_id)

    assert await ask(client, job_id, "pause") == (200, "running", "pause")
    assert await ask(client, job_id, "resume") == (200, "running", None)
    assert await ask(client, job_id, "cancel") == (200, "running", "cancel")
    assert await ask(client, job_id, "resume") == (409, "job_state", None)
    assert await jobs.renew(job_id, fence=fence, lease_seconds=15) is Wish.CANCEL
    assert (await client.get(f"/jobs/{job_id}/summary")).json()["requested"] == "cancel"


async def test_the_answer_is_the_summary(job_id: str, client: httpx.AsyncClient) -> None:
    answer = (await client.post(f"/jobs/{job_id}/pause")).json()

    assert answer == (await client.get(f"/jobs/{job_id}/summary")).json()


async def test_a_cancelled_job_keeps_its_best_program(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    fence = await working.start(jobs, job_id)
    await jobs.keep_best(job_id, fence=fence, best=BestSoFar(score=0.75, path=f"{job_id}/{fence}/best-1", fence=fence))
    await jobs.release(job_id, fence=fence)

    answer = (await client.post(f"/jobs/{job_id}/cancel")).json()

    assert (answer["status"], answer["best_score"], answer["termination_reason"]) == ("cancelled", 0.75, "cancelled")
    assert (await jobs.get(job_id)).has_artifact


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry"])
async def test_a_job_that_succeeded_is_left_alone(
    verb: str, job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id))

    answer = await client.post(f"/jobs/{job_id}/{verb}")

    assert (answer.status_code, answer.json()["error"]) == (409, "job_state")
    assert "is success" in answer.json()["detail"]


async def test_a_failed_job_is_tried_again_under_its_id(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    await working.fail(jobs, job_id, await working.start(jobs, job_id))

    first, again = await ask(client, job_id, "retry"), await ask(client, job_id, "retry")

    assert first == again == (200, "pending", None)
    assert (await client.get(f"/jobs/{job_id}")).json()["result"] is None
    claim = await jobs.claim(job_id, owner="test", lease_seconds=15, sandbox_level="L1")
    assert claim is not None
    assert claim.job.attempt == 2
    assert claim.spec.metric_code == payload()["metric_code"]


@pytest.mark.parametrize("started", [False, True])
async def test_a_job_that_has_never_failed_is_not_retried(
    started: bool,  # noqa: FBT001  # a case
    job_id: str,
    client: httpx.AsyncClient,
    jobs: MemoryJobStore,
) -> None:
    if started:
        await working.start(jobs, job_id)

    answer = await client.post(f"/jobs/{job_id}/retry")

    assert (answer.status_code, answer.json()["error"]) == (409, "job_state")
    assert "it has not failed" in answer.json()["detail"]


async def test_an_ended_job_is_deleted_with_everything(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id))
    await working.archive(jobs, artifacts, job_id)

    first = await client.delete(f"/jobs/{job_id}")
    second = await client.delete(f"/jobs/{job_id}")

    assert (first.status_code, first.content) == (204, b"")
    assert (second.status_code, second.json()["error"]) == (404, "job_not_found")
    assert [path for path in artifacts.files if path.startswith(job_id)] == []
    assert (await client.get("/jobs")).json()["data"] == []
    for view in ("", "/summary", "/logs", "/events", "/usage", "/artifact"):
        assert (await client.get(f"/jobs/{job_id}{view}")).status_code == 404


@pytest.mark.parametrize("started", [False, True])
async def test_a_job_that_has_not_ended_is_not_deleted(
    started: bool,  # noqa: FBT001  # a case
    job_id: str,
    client: httpx.AsyncClient,
    jobs: MemoryJobStore,
) -> None:
    if started:
        await working.start(jobs, job_id)

    answer = await client.delete(f"/jobs/{job_id}")

    assert (answer.status_code, answer.json()["error"]) == (409, "job_state")
    assert "cancel it first" in answer.json()["detail"]
    assert (await client.get(f"/jobs/{job_id}")).status_code == 200
