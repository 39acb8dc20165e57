"""Programs over HTTP: deploy, read, compare, retire."""

from typing import Any

import httpx
import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.bootstrap import Services
from tests.support.compiled_programs import compiled_files, ended_job
from tests.unit.api.deployed import body, deploy, three
from tests.unit.api.keyed import header

UNKNOWN_JOB = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_a_job_is_served_as_the_first_version(
    prefix: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    job_id = await ended_job(jobs, artifacts, compiled_files(module="cot"))

    answer = await client.post(f"{prefix}/programs/answers/versions", json={"job_id": job_id})
    program = (await client.get(f"{prefix}/programs/answers")).json()

    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/programs/answers/versions/1")
    assert (made["version"], made["job_id"], made["model_config"]["name"]) == (1, job_id, "demo/in-context")
    assert [field["name"] for field in made["interface"]["fields"]] == ["question", "reasoning", "answer"]
    assert made["interface"]["fields"][0]["json_schema"] == {"type": "string"}
    assert program["latest_version"] == 1
    assert [(alias["name"], alias["version"]) for alias in program["aliases"]] == [("production", 1)]


async def test_an_answer_never_says_where_files_stand_or_whose_they_are(client: httpx.AsyncClient) -> None:
    made = (await deploy(client)).json()

    assert not {"tenant", "artifact_folder"} & set(made)
    assert made == (await client.get("/programs/answers/versions/1")).json()


async def test_the_newest_version_again_is_200_and_not_201(client: httpx.AsyncClient) -> None:
    answers = [await deploy(client) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()


async def test_an_idempotency_key_with_another_program_is_refused(client: httpx.AsyncClient) -> None:
    sent = {"idempotency-key": "k"}
    first = await client.post("/programs/answers/versions", json=body(), headers=sent)
    await deploy(client, adapter="xml")

    again = await client.post("/programs/answers/versions", json=body(), headers=sent)
    other = await client.post("/programs/answers/versions", json=body(adapter="json"), headers=sent)

    assert (again.status_code, again.json()) == (200, first.json())
    assert (other.status_code, other.json()["error"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("sent", "field", "words"),
    [
        ({}, "", "either `job_id`, or `program`"),
        ({"job_id": UNKNOWN_JOB, "program": {}}, "", "either `job_id`"),
        ({"program": {}}, "", "either `job_id`"),
        ({"job_id": "nonsense"}, "job_id", "pattern"),
        ({"job_id": UNKNOWN_JOB, "program_pickle_base64": "gASV"}, "", "a job has its own"),
        ({"job_id": UNKNOWN_JOB, "program.pkl": "gASV"}, "program.pkl", "not a known field"),
        ({"program": "gASV", "program_metadata": {}}, "program", "must be"),
        ({"job_id": UNKNOWN_JOB, "adapter": "yaml"}, "adapter", "chat"),
        ({"job_id": UNKNOWN_JOB, "colour": 1}, "colour", "not a known field"),
        ({"job_id": UNKNOWN_JOB, "api_key": "x"}, "api_key", "carries a secret"),
    ],
)
async def test_a_wrong_body_names_its_field(
    sent: dict[str, Any], field: str, words: str, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/programs/answers/versions", json=sent)

    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert [field] == [problem["field"] for problem in answer.json()["detail"]]
    assert words in answer.json()["detail"][0]["message"]


@pytest.mark.parametrize("name", ["Answers", "a" * 64, "-a", "a%20b", "a@v1", "%C3%BC"])
async def test_a_name_that_is_none_is_refused_on_the_way_in_and_not_found_afterwards(
    name: str, client: httpx.AsyncClient
) -> None:
    made = await deploy(client, name)
    read = await client.get(f"/programs/{name}")

    assert (made.status_code, made.json()["detail"][0]["field"]) == (422, "name")
    assert (read.status_code, read.json()["error"]) == (404, "program_not_found")


async def test_an_endpoint_that_the_operator_does_not_allow_is_refused(
    client: httpx.AsyncClient, services: Services
) -> None:
    sent = await header(services)
    here = {"name": "openai/x", "base_url": "http://127.0.0.1:9/v1"}

    answer = await client.post("/programs/answers/versions", json=body(model_config=here), headers=sent)

    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_request")
    assert "model_config.base_url" in answer.json()["detail"]


async def test_programs_and_versions_are_paged(client: httpx.AsyncClient) -> None:
    await three(client)
    await deploy(client, "b")

    first = (await client.get("/programs?limit=1")).json()
    rest = (await client.get("/programs", params={"after": first["last_name"]})).json()
    newest = (await client.get("/programs/answers/versions?limit=2")).json()
    oldest = (await client.get("/programs/answers/versions", params={"before": newest["last_version"]})).json()

    assert ([each["name"] for each in first["data"]], first["has_more"]) == (["answers"], True)
    assert ([each["name"] for each in rest["data"]], rest["has_more"]) == (["b"], False)
    assert ([each["version"] for each in newest["data"]], newest["has_more"]) == ([3, 2], True)
    assert ([each["version"] for each in oldest["data"]], oldest["has_more"]) == ([1], False)


async def test_an_empty_list_has_no_cursor(client: httpx.AsyncClient) -> None:
    assert (await client.get("/programs")).json() == {
        "object": "list",
        "data": [],
        "has_more": False,
        "last_name": None,
    }


@pytest.mark.parametrize("path", ["/programs?limit=0", "/programs?before=1", "/programs/answers/versions?after=1"])
async def test_a_query_that_means_nothing_is_refused(path: str, client: httpx.AsyncClient) -> None:
    assert (await client.get(path)).status_code == 422


async def test_two_versions_are_compared(client: httpx.AsyncClient) -> None:
    demo = {"question": "2 + 2", "answer": "4"}
    await deploy(client, files={"module": "cot", "instructions": "Old."})
    await deploy(client, files={"module": "cot", "instructions": "New.", "demos": [demo]}, adapter="json")

    found = (await client.get("/programs/answers/versions/1/compare/2")).json()
    itself = (await client.get("/programs/answers/versions/2/compare/2")).json()

    assert (found["before"], found["after"], found["is_equal"], itself["is_equal"]) == (1, 2, False, True)
    assert (found["instructions"]["before"], found["instructions"]["after"]) == ("Old.", "New.")
    assert found["demos"]["added"] == [demo]
    assert found["settings"] == {"adapter": {"before": "chat", "after": "json"}}


async def test_a_version_retires_once_no_alias_names_it(client: httpx.AsyncClient) -> None:
    await three(client)

    in_use = await client.post("/programs/answers/versions/1/retire")
    retired = await client.post("/programs/answers/versions/2/retire")
    moved = await client.put("/programs/answers/aliases/production", json={"version": 2})

    assert (in_use.status_code, in_use.json()["error"]) == (409, "program_version_in_use")
    assert (retired.status_code, retired.json()["status"]) == (200, "retired")
    assert (moved.status_code, moved.json()["error"]) == (409, "program_version_retired")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/versions"),
        ("GET", "/versions/1"),
        ("GET", "/versions/1/compare/1"),
        ("POST", "/versions/1/retire"),
        ("GET", "/aliases/production"),
        ("POST", "/aliases/production/rollback"),
        ("GET", "/versions/0"),
        ("GET", "/versions/x"),
        ("GET", "/versions/1/compare/x"),
        ("GET", "/aliases/gamma"),
    ],
)
async def test_a_foreign_program_is_as_unknown_as_one_that_never_was(
    method: str, path: str, client: httpx.AsyncClient, services: Services
) -> None:
    mine, theirs = await header(services, tenant="acme"), await header(services, tenant="other")
    await client.post("/programs/answers/versions", json=body(), headers=mine)

    answer = await client.request(method, f"/programs/answers{path}", headers=theirs)

    assert (answer.status_code, answer.json()["error"]) == (404, "program_not_found")
