"""What certainly does not fit a submitter's own type is said; whatever only the program can tell is left to it."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue, TypeAdapter

from dspy_service.domain.serving.schema_check import Misfit, find_misfit


class Place(BaseModel, extra="forbid"):
    street: str
    number: int = 0


class Person(BaseModel):
    name: str
    home: Place | None = None
    friends: list["Person"] = []
    marks: dict[str, float] = {}


PERSON = TypeAdapter(Person).json_schema()

KEYWORDS = ("type", "enum", "const", "properties", "required", "items", "anyOf", "allOf", "$ref", "$defs", "A")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "string", "object", "#/$defs/A"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4),
    max_leaves=12,
)


def misfit(schema: dict[str, Any], value: JsonValue) -> Misfit | None:
    return find_misfit(schema, value, path="v")


@pytest.mark.parametrize(
    "value",
    [
        {"name": "Ann"},
        {"name": "Ann", "home": None, "friends": [{"name": "Bob", "home": {"street": "High"}}]},
        {"name": "Ann", "marks": {"maths": 1, "art": 1.5}, "more": "is ignored"},
    ],
    ids=["least", "nested", "marks"],
)
def test_a_value_that_fits_is_taken(value: JsonValue) -> None:
    assert misfit(PERSON, value) is None


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({}, "v.name", "is required"),
        ({"name": 3}, "v.name", "must be a string"),
        ({"name": "Ann", "home": {"street": "High", "number": "3"}}, "v.home.number", "must be an integer"),
        ({"name": "Ann", "home": {"street": "High", "colour": "red"}}, "v.home", "it has: street, number"),
        ({"name": "Ann", "friends": [{"name": "Bob"}, {}]}, "v.friends.1.name", "is required"),
        ({"name": "Ann", "friends": "Bob"}, "v.friends", "must be a list"),
        ({"name": "Ann", "marks": {"maths": True}}, "v.marks.(a key)", "must be a number"),
    ],
    ids=["missing", "kind", "inside a union", "unknown", "in a list", "no list", "in a dict"],
)
def test_the_first_part_that_does_not_fit_is_named(value: JsonValue, path: str, message: str) -> None:
    found = misfit(PERSON, value)

    assert found is not None
    assert found.path == path
    assert message in found.message


@pytest.mark.parametrize("value", ["https://example.com/cat.png", 3, None])
def test_a_shorthand_for_an_object_is_left_to_the_program(value: JsonValue) -> None:
    assert misfit(PERSON, value) is None
    assert misfit(PERSON, {"name": "Ann", "home": value}) is None


@pytest.mark.parametrize(
    ("schema", "fits", "fits_not", "message"),
    [
        ({"enum": ["a", 1, None]}, [1, 1.0, None, "a"], [True, "b"], 'must be one of "a", 1, null'),
        ({"const": True}, [True], [1, "true"], "must be true"),
        ({"type": "integer"}, [3, 3.0, 10**400], [3.5, True, "3"], "must be an integer"),
        ({"type": ["string", "null"]}, ["a", None], [3], "must be a string or null"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, ["a", 3], [[], 0.5], "is none of what it may be"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, ["a", None], [3], "must be a string"),
        ({"allOf": [{"type": "number"}, {"enum": [1, 2]}]}, [1], [3, "1"], "must be "),
        ({"type": "array", "prefixItems": [{}, {}], "items": {"type": "null"}}, [["a", 1]], ["a"], "must be a list"),
        ({"type": "colour"}, [3, "red", None], [], ""),
    ],
    ids=["enum", "const", "integer", "kinds", "union", "optional", "all of", "tuple", "unknown kind"],
)
def test_each_keyword_says_what_it_says_in_json(
    schema: dict[str, Any], fits: list[JsonValue], fits_not: list[JsonValue], message: str
) -> None:
    assert [misfit(schema, value) for value in fits] == [None] * len(fits)
    for value in fits_not:
        found = misfit(schema, value)
        assert found is not None
        assert found.message.startswith(message)


@given(st.builds(Person, name=st.text(max_size=3), marks=st.dictionaries(st.text(max_size=2), st.integers())))
def test_what_the_type_itself_writes_always_fits(person: Person) -> None:
    assert misfit(PERSON, person.model_dump(mode="json")) is None


@given(st.dictionaries(st.sampled_from(KEYWORDS), JSON, max_size=5), JSON)
def test_no_schema_breaks_the_check(schema: dict[str, Any], value: JsonValue) -> None:
    found = misfit(schema, value)

    assert found is None or found.path.startswith("v")


def test_a_schema_that_refers_to_itself_for_ever_ends() -> None:
    loop = {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}]}}}

    assert misfit(loop, "text") is None


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}] * 9, "items": {"type": "integer"}}}},
            list(range(20_000)),
        ),
        ({"items": {"enum": [f"label-{number}" for number in range(1_000)]}}, ["label-999"] * 200_000),
        ({"allOf": [{"required": ["a"] * 1_000}] * 100}, {"a": {}, **{str(key): {} for key in range(100_000)}}),
    ],
    ids=["references", "labels", "names"],
)
def test_no_schema_takes_long(schema: dict[str, Any], value: JsonValue) -> None:
    begun = time.process_time()

    assert misfit(schema, value) is None

    assert time.process_time() - begun < 1
