"""Programs that only their own code can rebuild, over HTTP: what is deployed, shown, called and compared."""

import base64
import json
from typing import Any

import httpx
import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.bootstrap import Services
from dspy_service.domain.catalogue.entries import ModuleEntry
from dspy_service.domain.keys import Scope
from dspy_service.usecases.serving.version_files import read_version_files
from tests.support.compiled_programs import ANSWER, QUESTION, compiled_files, ended_job, several_predictors
from tests.support.signed import SECRET_KEY
from tests.unit.api.deployed import MODEL, body, deploy
from tests.unit.api.keyed import header

SHAPE = {
    "type": "object",
    "title": "Details",
    "properties": {"urgency": {"type": "integer"}},
    "required": ["urgency"],
}
DETAILS = {"name": "details", "side": "input", "type": "Details", "desc": "${details}", "json_schema": SHAPE}
PICKLE = base64.b64encode(b"\x80\x05 whatever it is").decode()
FIELDS = (QUESTION, DETAILS, ANSWER)


async def test_a_job_with_a_type_of_its_own_is_served_and_shows_the_type(
    client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    job_id = await ended_job(jobs, artifacts, compiled_files(*FIELDS))

    made = await client.post("/programs/answers/versions", json={"job_id": job_id})
    document = (await client.get("/programs/answers/openapi.json")).json()

    assert made.status_code == 201
    assert made.json()["hosting"] == "confined"
    assert made.json()["hosting_reason"] == "the type of its field 'details', Details, is more than plain data"
    assert made.json() == (await client.get("/programs/answers/versions/1")).json()
    assert made.json()["interface"]["fields"][1]["json_schema"] == SHAPE
    assert document["components"]["schemas"]["Inputs"]["properties"]["details"] == SHAPE


async def test_an_uploaded_pickle_is_kept_byte_for_byte(client: httpx.AsyncClient, services: Services) -> None:
    made = await deploy(client, fields=FIELDS, program_pickle_base64=PICKLE)

    version = await services.programs.version("local", "answers", 1)
    kept = await read_version_files(version, artifacts=services.artifacts, secret_key=SECRET_KEY)
    assert made.status_code == 201
    assert kept["program.pkl"] == b"\x80\x05 whatever it is"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({}, "is required, for only its code can be this program"),
        ({"program_pickle_base64": "no base64!"}, "must be base64"),
        ({"program_pickle_base64": "g\u00e4SV"}, "must be base64"),
        ({"program_pickle_base64": ""}, "is empty"),
        ({"program_pickle_base64": 3}, "string"),
    ],
    ids=["none", "no base64", "no ASCII", "empty", "no text"],
)
async def test_a_pickle_that_is_missing_or_none_is_named(
    sent: dict[str, Any], words: str, client: httpx.AsyncClient
) -> None:
    answer = await deploy(client, fields=FIELDS, **sent)

    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert [problem["field"] for problem in answer.json()["detail"]] == ["program_pickle_base64"]
    assert words in answer.json()["detail"][0]["message"]


async def test_code_is_only_taken_from_whoever_may_submit_jobs(client: httpx.AsyncClient, services: Services) -> None:
    caller = await header(services, scopes=[Scope.SERVE_INVOKE, Scope.JOBS_READ, Scope.ARTIFACTS_READ])
    sent = body(fields=FIELDS, program_pickle_base64=PICKLE)

    answer = await client.post("/programs/answers/versions", json=sent, headers=caller)

    assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")


async def test_an_input_that_cannot_be_of_the_type_is_refused_before_anything_runs(client: httpx.AsyncClient) -> None:
    await deploy(client, fields=FIELDS, program_pickle_base64=PICKLE)

    answer = await client.post("/programs/answers/predict", json={"question": "Why?", "details": {"urgency": "high"}})

    assert answer.status_code == 422
    assert answer.json()["detail"] == [{"field": "details.urgency", "message": "must be an integer"}]


async def test_what_each_of_several_predictors_is_told_is_compared(
    client: httpx.AsyncClient, services: Services
) -> None:
    services.registry.register_module(ModuleEntry(name="agent", factory="my_company.programs.Agent"))
    demos = [{"question": "2 + 2", "answer": "4"}]
    for instructions, shown in (("Plan.", []), ("Plan well.", demos)):
        files = compiled_files(module="cot", module_name="agent", demos=shown)
        program, metadata = (json.loads(each) for each in several_predictors(files, instructions=instructions))
        sent = {"program": program, "program_metadata": metadata, "program_pickle_base64": PICKLE}
        made = await client.post("/programs/agents/versions", json={**sent, "model_config": MODEL})
        assert made.status_code == 201, made.text

    found = (await client.get("/programs/agents/versions/1/compare/2")).json()

    assert not found["is_equal"]
    assert found["instructions"]["before"] == "[plan]\nPlan.\n\n[predict]\nAnswer well."
    assert found["instructions"]["after"] == "[plan]\nPlan well.\n\n[predict]\nAnswer well."
    assert (found["demos"]["count_after"], found["demos"]["added"]) == (2, demos)
    assert found["fields"] == []
