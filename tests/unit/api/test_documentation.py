"""The documentation page is complete, and its examples run as they stand."""

from typing import Any

import httpx
import pytest

from dspy_service.api.examples import RUN_EXAMPLES


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


@pytest.mark.parametrize("name", RUN_EXAMPLES)
async def test_every_example_is_accepted(name: str, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/run", json=RUN_EXAMPLES[name]["value"])

    assert answer.status_code == 200, answer.text


async def test_only_the_versioned_form_is_listed(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {
        "/v1/run",
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/summary",
        "/v1/jobs/{job_id}/logs",
        "/v1/jobs/{job_id}/usage",
        "/v1/jobs/{job_id}/events",
        "/v1/jobs/{job_id}/cancel",
        "/v1/jobs/{job_id}/pause",
        "/v1/jobs/{job_id}/resume",
        "/v1/jobs/{job_id}/retry",
        "/v1/jobs/{job_id}/artifact",
        "/v1/jobs/{job_id}/artifact/files/{name}",
        "/v1/programs",
        "/v1/programs/{name}",
        "/v1/programs/{name}/versions",
        "/v1/programs/{name}/versions/{version}",
        "/v1/programs/{name}/versions/{version}/compare/{other}",
        "/v1/programs/{name}/versions/{version}/retire",
        "/v1/programs/{name}/aliases/{alias}",
        "/v1/programs/{name}/aliases/{alias}/rollback",
        "/v1/programs/{name}/predict",
        "/v1/programs/{name}/predict/stream",
        "/v1/programs/{name}/openapi.json",
        "/v1/predict",
        "/v1/predict/stream",
        "/v1/query",
        "/v1/runs/{run_id}",
        "/v1/runs/{run_id}/events",
        "/v1/runs/{run_id}/cancel",
        "/v1/usage",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/responses/{response_id}",
        "/v1/responses/{response_id}/cancel",
        "/v1/responses/{response_id}/input_items",
        "/v1/chat",
        "/v1/chat/basic",
        "/v1/chat/stream",
        "/v1/api/chat/basic",
        "/v1/conversations",
        "/v1/conversations/export",
        "/v1/conversations/{conversation}",
        "/v1/conversations/{conversation}/messages/{message_id}/feedback",
        "/v1/conversations/{conversation}/messages/{message_id}/regenerate",
        "/v1/keys",
        "/v1/keys/{key_id}",
        "/v1/webhooks/secret",
        "/v1/health",
        "/v1/health/ready",
        "/v1/health/live",
        "/v1/metrics",
    }


async def test_the_body_of_a_submission_has_a_schema_and_examples(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/run"]["post"]["requestBody"]["content"]["application/json"]

    assert body["schema"] == {"$ref": "#/components/schemas/RunRequest"}
    assert set(body["examples"]) == {"miprov2", "gepa", "few_shot"}


@pytest.mark.parametrize(
    "schema",
    [
        "RunRequest",
        "ModelSettings",
        "ColumnMapping",
        "SplitFractions",
        "Budget",
        "Webhook",
        "DeployRequest",
        "ChatMapping",
        "AliasMove",
        "PredictRequest",
        "RunOptions",
    ],
)
async def test_every_field_of_a_request_is_described(schema: str, document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"][schema]["properties"]

    assert [name for name, field in fields.items() if not field.get("description")] == []


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    assert references(document) <= known


async def test_every_route_has_a_summary_and_documented_errors(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["description"], path
            if "{job_id}" in path:
                envelope = operation["responses"]["404"]["content"]["application/json"]["schema"]
                assert envelope == {"$ref": "#/components/schemas/ErrorEnvelope"}


async def test_each_status_shows_an_error_of_its_own(document: dict[str, Any]) -> None:
    envelope = {"$ref": "#/components/schemas/ErrorEnvelope"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            contents = [
                response.get("content", {}).get("application/json", {}) for response in operation["responses"].values()
            ]
            errors = [content for content in contents if content.get("schema") == envelope]
            shown = {content["example"]["error"] for content in errors}
            assert len(shown) == len(errors), path


async def test_a_malformed_id_is_documented_as_the_404_that_it_is(document: dict[str, Any]) -> None:
    responses = document["paths"]["/v1/jobs/{job_id}"]["get"]["responses"]

    assert set(responses) == {"200", "401", "403", "404", "429", "500", "503"}
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_a_header_that_may_be_left_out_is_a_plain_string(document: dict[str, Any]) -> None:
    (header,) = document["paths"]["/v1/run"]["post"]["parameters"]

    assert header["schema"]["type"] == "string"
    assert header["required"] is False


async def test_the_page_is_served(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")

    assert answer.status_code == 200
    assert "swagger-ui" in answer.text
    assert "/openapi.json" in answer.text


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(each) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(references(each) for each in value))
    return set()
