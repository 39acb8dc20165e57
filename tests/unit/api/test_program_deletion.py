"""Programs over HTTP: as many as may be, and deleted with their files."""

import httpx
import pytest

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.keys import Scope
from tests.unit.api.deployed import body, deploy, three
from tests.unit.api.keyed import header


@pytest.fixture
def settings() -> Settings:
    return Settings.model_construct(
        sandbox_min_level="L1",
        max_programs=1,
        max_versions_per_program=1,
        max_conversations=1,
        max_messages_per_conversation=3,
    )


async def test_a_retired_version_is_deleted_with_its_files(
    client: httpx.AsyncClient, artifacts: MemoryArtifactStore
) -> None:
    await three(client)
    before = len(await artifacts.list("programs"))
    refused = await client.delete("/programs/answers/versions/2")
    await client.post("/programs/answers/versions/2/retire")

    deleted = await client.delete("/programs/answers/versions/2")

    listed = (await client.get("/programs/answers/versions")).json()["data"]
    assert (refused.status_code, refused.json()["error"]) == (409, "program_version_active")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert [each["version"] for each in listed] == [3, 1]
    assert len(await artifacts.list("programs")) == before * 2 // 3
    assert (await client.delete("/programs/answers/versions/2")).status_code == 404


async def test_a_program_is_deleted_once_only_production_is_left(
    client: httpx.AsyncClient, artifacts: MemoryArtifactStore
) -> None:
    await deploy(client)
    await client.put("/programs/answers/aliases/beta", json={"version": 1})
    refused = await client.delete("/programs/answers")
    await client.delete("/programs/answers/aliases/beta")

    deleted = await client.delete("/programs/answers")

    assert (refused.status_code, refused.json()["error"]) == (409, "program_in_use")
    assert "beta" in refused.json()["detail"]
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await client.get("/programs/answers")).status_code == 404
    assert await artifacts.list("programs") == []


@pytest.mark.parametrize("path", ["", "/versions/1"])
async def test_nobody_deletes_what_is_not_his(path: str, client: httpx.AsyncClient, services: Services) -> None:
    await client.post("/programs/answers/versions", json=body(), headers=await header(services, tenant="acme"))

    foreign = await client.delete(f"/programs/answers{path}", headers=await header(services, tenant="other"))
    reader = await header(services, tenant="acme", scopes=[Scope.JOBS_READ, Scope.SERVE_INVOKE])
    forbidden = await client.delete(f"/programs/answers{path}", headers=reader)

    assert (foreign.status_code, foreign.json()["error"]) == (404, "program_not_found")
    assert (forbidden.status_code, forbidden.json()["error"]) == (403, "scope_missing")


async def test_a_tenant_that_keeps_too_much_is_told_what_to_delete(
    client: httpx.AsyncClient, services: Services
) -> None:
    mine = await header(services, tenant="acme")
    sent = [
        ("/programs/one/versions", body()),
        ("/programs/one/versions", body(files={"instructions": "Other."})),
        ("/programs/two/versions", body()),
        ("/conversations", {}),
        ("/conversations", {}),
        ("/chat", {"message": "hi"}),
    ]

    answers = [await client.post(path, json=content, headers=mine) for path, content in sent]

    refused = [answer for answer in answers if answer.status_code == 409]
    assert [answer.status_code for answer in answers] == [201, 409, 409, 201, 409, 409]
    assert {answer.json()["error"] for answer in refused} == {"limit_reached"}
    words = ["DELETE /programs/{name}/versions/{version}", "DELETE /programs/{name}.", "DELETE /conversations/{id}"]
    for answer, word in zip(refused, words, strict=False):
        assert word in answer.json()["detail"]
