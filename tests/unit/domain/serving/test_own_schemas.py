"""A stranger's JSON Schema is kept when it is small and speaks of itself alone, and else not at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.serving.own_schemas import MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, own_schema

PET: dict[str, Any] = {
    "$defs": {
        "Cat": {"type": "object", "properties": {"kind": {"const": "cat"}, "kitten": {"$ref": "#/$defs/Cat"}}},
        "Dog": {"type": "object", "properties": {"kind": {"const": "dog"}}},
    },
    "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
    "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"}},
}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["#/$defs/A", "https://x.example"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$ref", "$defs", "$id", "A", "mapping", "discriminator"]), inner, max_size=4)
    ),
    max_leaves=8,
)


def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"items": found}
    return found


def test_a_schema_that_refers_to_its_own_definitions_is_kept() -> None:
    assert own_schema(PET) == PET


def test_a_schema_without_definitions_is_kept() -> None:
    assert own_schema({"type": "string", "format": "date"}) == {"type": "string", "format": "date"}


def test_a_property_may_have_the_name_of_a_keyword_of_openapi() -> None:
    schema = {"type": "object", "properties": {"discriminator": {"type": "string"}, "mapping": {"type": "object"}}}

    assert own_schema(schema) == schema


@pytest.mark.parametrize(
    "change",
    [
        {"$ref": "https://evil.example/schema.json"},
        {"$ref": "#/$defs/Missing"},
        {"$ref": "#/components/schemas/Inputs"},
        {"$ref": {"no": "text"}},
        {"$id": "https://evil.example/"},
        {"$dynamicRef": "#/$defs/Cat"},
        {"items": [{"properties": {"a": {"$ref": "file:///etc/passwd"}}}]},
        {"properties": {"a": {"$defs": {}}}},
        {"discriminator": {"propertyName": "kind", "mapping": {"cat": "https://evil.example/"}}},
        {"$defs": []},
        {"$defs": {"Cat": []}},
        {"$defs": {"a/b": {}}},
    ],
    ids=str,
)
def test_a_schema_that_leads_out_of_itself_says_nothing(change: dict[str, Any]) -> None:
    assert own_schema({**PET, **change}) == {}


def test_a_definition_may_not_lead_out_either() -> None:
    hostile = {**PET, "$defs": {**PET["$defs"], "Dog": {"$ref": "https://evil.example/"}}}

    assert own_schema(hostile) == {}


def test_a_schema_within_the_bounds_is_kept_and_one_beyond_them_is_not() -> None:
    room = MAX_SCHEMA_BYTES - len(json.dumps({"description": ""}, separators=(",", ":")))

    assert own_schema({"description": "x" * room})
    assert own_schema({"description": "x" * (room + 1)}) == {}
    assert own_schema(nested(MAX_SCHEMA_DEPTH - 1))
    assert own_schema(nested(MAX_SCHEMA_DEPTH)) == {}


@pytest.mark.parametrize("found", [None, "text", [], True, {"description": "\ud800"}], ids=repr)
def test_what_is_no_schema_says_nothing(found: object) -> None:
    assert own_schema(found) == {}


@given(JSON)
def test_whatever_is_kept_names_nothing_from_elsewhere(found: object) -> None:
    kept = own_schema(found)

    assert kept in ({}, found)
    assert '"$ref": "https' not in json.dumps(kept)
    assert '"$id"' not in json.dumps(kept)
