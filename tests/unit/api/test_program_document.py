"""``GET /programs/{name}/openapi.json``: a program's routes, typed by its signature."""

from typing import Any

import httpx
import pytest

from dspy_service.bootstrap import Services
from tests.support.served_programs import a_field, a_new_version, an_interface


@pytest.fixture
async def document(client: httpx.AsyncClient, services: Services) -> dict[str, Any]:
    fields = an_interface(
        a_field("question", description="What is asked."),
        a_field("tone", type_name="Literal['dry', 'warm']", is_required=False, default="dry"),
        a_field("scores", "output", "list[float]"),
    )
    await services.programs.add_version(a_new_version("typed", interface=fields))
    found: dict[str, Any] = (await client.get("/programs/typed@v1/openapi.json")).json()
    return found


def references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {str(node["$ref"])} if "$ref" in node else set()
        return own.union(*(references(each) for each in node.values()))
    return set().union(*(references(each) for each in node)) if isinstance(node, list) else set()


async def test_inputs_and_outputs_have_the_types_of_the_signature(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    assert schemas["Inputs"] == {
        "type": "object",
        "properties": {
            "question": {"type": "string", "description": "What is asked."},
            "tone": {"enum": ["dry", "warm"], "default": "dry"},
        },
        "required": ["question"],
        "additionalProperties": False,
    }
    assert schemas["Prediction"]["properties"] == {"scores": {"type": "array", "items": {"type": "number"}}}
    assert schemas["PredictionView"]["properties"]["prediction"] == {"$ref": "#/components/schemas/Prediction"}


async def test_what_a_type_of_its_own_defines_stands_among_the_components(
    client: httpx.AsyncClient, services: Services
) -> None:
    shape = {
        "$defs": {"Tag": {"type": "string"}, "Box": {"properties": {"inner": {"$ref": "#/$defs/Box"}}}},
        "anyOf": [{"$ref": "#/$defs/Box"}, {"type": "array", "items": {"$ref": "#/$defs/Tag"}}],
    }
    fields = an_interface(
        a_field("ticket", type_name="Ticket", json_schema=shape, is_required=False, has_default_of_code=True),
        a_field("größe", type_name="Size", json_schema={"$defs": {"Tag": {}}, "$ref": "#/$defs/Tag"}),
        a_field("answer", "output", "Ticket", json_schema=shape),
    )
    await services.programs.add_version(a_new_version("own", interface=fields))

    document = (await client.get("/programs/own@v1/openapi.json")).json()

    schemas = document["components"]["schemas"]
    known = {f"#/components/schemas/{name}" for name in schemas}
    assert references(document) <= known
    assert "$defs" not in str(document)
    assert schemas["Inputs"]["required"] == ["größe"]
    assert schemas["Inputs"]["properties"]["ticket"] == {
        "anyOf": [
            {"$ref": "#/components/schemas/ticket.Box"},
            {"type": "array", "items": {"$ref": "#/components/schemas/ticket.Tag"}},
        ]
    }
    assert schemas["Inputs"]["properties"]["größe"] == {"$ref": "#/components/schemas/field-1.Tag"}
    assert schemas["answer.Box"] == {"properties": {"inner": {"$ref": "#/components/schemas/answer.Box"}}}


async def test_it_tells_the_routes_of_this_program_alone(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {"/v1/programs/typed@v1/predict", "/v1/programs/typed@v1/predict/stream"}
    assert document["info"]["title"] == "typed"
    assert document["info"]["description"] == "Answer the question."


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    assert references(document) <= known


async def test_an_unknown_program_has_none(client: httpx.AsyncClient) -> None:
    answer = await client.get("/programs/nothing/openapi.json")

    assert (answer.status_code, answer.json()["error"]) == (404, "program_not_found")
