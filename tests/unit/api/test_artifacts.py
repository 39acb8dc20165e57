"""The compiled program: 409 while the job runs, 404 when there is none, else all of it."""

import base64

import httpx
import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from tests.support import working
from tests.unit.api.payloads import payload


@pytest.fixture
async def job_id(client: httpx.AsyncClient) -> str:
    return str((await client.post("/run", json=payload())).json()["job_id"])


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_the_program_comes_inline(
    prefix: str, job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id))

    answer = await client.get(f"{prefix}/jobs/{job_id}/artifact")

    assert answer.json() == {
        "program_artifact_path": f"artifacts/{job_id}",
        "program_artifact": {
            "path": f"artifacts/{job_id}",
            "program_pickle_base64": base64.b64encode(working.PICKLE).decode(),
            "metadata": {"dependency_versions": {"dspy": "3.4"}},
        },
    }


@pytest.mark.parametrize("view", ["artifact", "artifact/files/program.pkl"])
async def test_a_job_that_waits_or_runs_is_a_conflict(
    view: str, job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    waiting = await client.get(f"/jobs/{job_id}/{view}")
    await working.start(jobs, job_id)
    running = await client.get(f"/jobs/{job_id}/{view}")

    assert [each.status_code for each in (waiting, running)] == [409, 409]
    assert [each.json()["error"] for each in (waiting, running)] == ["job_not_finished"] * 2


async def test_a_job_that_failed_has_no_artifact(job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    await working.fail(jobs, job_id, await working.start(jobs, job_id))

    answer = await client.get(f"/jobs/{job_id}/artifact")

    assert (answer.status_code, answer.json()["error"]) == (404, "artifact_not_found")
    assert "its logs say why" in answer.json()["detail"]


async def test_files_are_streamed(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    large = bytes(200_000)
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id), pickle=large)

    pickle = await client.get(f"/jobs/{job_id}/artifact/files/program.pkl")
    metadata = await client.get(f"/v1/jobs/{job_id}/artifact/files/metadata.json")

    assert pickle.content == large
    assert pickle.headers["content-type"] == "application/octet-stream"
    assert pickle.headers["content-disposition"] == 'attachment; filename="program.pkl"'
    assert metadata.headers["content-type"] == "application/json"
    assert metadata.json() == {"dependency_versions": {"dspy": "3.4"}}


@pytest.mark.parametrize("name", ["program.json", "secret.txt", "..%2Fdatasets", "1%2Fprogram.pkl"])
async def test_a_file_that_is_not_there_or_not_public_is_not_found(
    name: str, job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id))
    artifacts.files[f"{job_id}/secret.txt"] = b"x"
    artifacts.files[f"{job_id}/1/program.pkl"] = b"x"

    answer = await client.get(f"/jobs/{job_id}/artifact/files/{name}")

    assert answer.status_code == 404
    assert answer.json()["error"] in {"file_not_stored", "not_found"}


async def test_an_empty_file_is_a_file(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id), pickle=b"")

    answer = await client.get(f"/jobs/{job_id}/artifact/files/program.pkl")

    assert (answer.status_code, answer.content) == (200, b"")
