"""What goes into a program is checked against its signature before anything runs."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.serving.inputs import check_inputs
from dspy_service.domain.serving.interface import ProgramInterface
from tests.support.served_programs import a_field, an_interface

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TYPES = [
    "str",
    "int",
    "float",
    "bool",
    "list[int]",
    "dict[str, str]",
    "Optional[int]",
    "Literal['a', 1]",
    "History",
    "Own",
]


def taking(type_name: str, **changes: Any) -> ProgramInterface:  # noqa: ANN401  # of a field
    return an_interface(a_field("value", type_name=type_name, **changes), a_field("answer", "output"))


def problems(interface: ProgramInterface, values: dict[str, JsonValue], path: str = "") -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as refused:
        check_inputs(interface, values, path=path)
    return {problem.field: problem.message for problem in refused.value.problems}


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("str", "text"),
        ("int", 3),
        ("float", 3),
        ("float", 0.5),
        ("bool", True),
        ("list[int]", [1, 2]),
        ("dict[str, float]", {"a": 1}),
        ("Optional[int]", None),
        ("str | int", 4),
        ("Literal['a', 'b']", "b"),
        ("Any", {"a": [1]}),
        ("Own", {"whatever": "it is"}),
        ("dspy.History", {"messages": [{"value": "Hi", "answer": "Hello"}]}),
    ],
)
def test_a_value_of_the_type_is_taken_as_it_is(type_name: str, value: JsonValue) -> None:
    name = "past" if "History" in type_name else "value"
    interface = an_interface(
        *([a_field("value")] if name == "past" else []), a_field(name, type_name=type_name), a_field("answer", "output")
    )
    values = {"value": "Hi", name: value} if name == "past" else {name: value}

    assert check_inputs(interface, values) == values


@pytest.mark.parametrize(
    ("type_name", "value", "field", "message"),
    [
        ("str", 3, "value", "must be a valid string"),
        ("int", "3", "value", "must be a valid integer"),
        ("int", True, "value", "must be a valid integer"),
        ("bool", 1, "value", "must be a valid boolean"),
        ("list[int]", [1, "x"], "value.1", "must be a valid integer"),
        ("dict[str, int]", {"a": "b"}, "value.a", "must be a valid integer"),
        ("Optional[int]", "x", "value", "must be Optional[int]"),
        ("Literal['a', 'b']", "c", "value", "must be 'a' or 'b'"),
    ],
)
def test_a_value_of_another_type_is_named(type_name: str, value: JsonValue, field: str, message: str) -> None:
    assert problems(taking(type_name), {"value": value}) == {field: message}


def test_fields_that_are_missing_or_unknown_are_named_where_they_stand() -> None:
    found = problems(taking("int"), {"wrong": 3}, path="inputs")

    assert set(found) == {"inputs.wrong", "inputs.value"}
    assert found["inputs.value"] == "is required (int)"
    assert "value" in found["inputs.wrong"]


def test_an_input_with_a_default_may_be_left_out() -> None:
    interface = taking("int", is_required=False, default=7)

    assert check_inputs(interface, {}) == {"value": 7}
    assert check_inputs(interface, {"value": 8}) == {"value": 8}


def test_a_default_that_only_code_can_make_is_left_to_it() -> None:
    interface = taking("Own", is_required=False, has_default_of_code=True)

    assert check_inputs(interface, {}) == {}
    assert check_inputs(interface, {"value": [1]}) == {"value": [1]}


def test_a_value_of_a_type_of_its_own_is_checked_as_far_as_the_type_tells() -> None:
    shape = {"type": "object", "properties": {"urgency": {"type": "integer"}}, "required": ["urgency"]}
    interface = taking("Own", json_schema=shape)

    assert check_inputs(interface, {"value": {"urgency": 3}}) == {"value": {"urgency": 3}}
    assert problems(interface, {"value": {"urgency": "high"}}, path="inputs") == {
        "inputs.value.urgency": "must be an integer"
    }


def test_a_history_may_be_left_out() -> None:
    interface = an_interface(a_field("question"), a_field("past", type_name="History"), a_field("answer", "output"))

    assert check_inputs(interface, {"question": "Hi"}) == {"question": "Hi", "past": {"messages": []}}


@pytest.mark.parametrize(
    ("history", "field"),
    [
        ({"messages": [{"role": "user", "content": "lost"}]}, "past.messages.0"),
        ({"messages": ["text"]}, "past.messages.0"),
        ({"messages": [{}]}, "past.messages.0"),
        ({"messages": "text"}, "past"),
        ([], "past"),
        ({"messages": [], "more": 1}, "past"),
    ],
    ids=["roles", "text", "empty", "no list", "no object", "more"],
)
def test_a_history_that_the_program_would_lose_is_refused(history: JsonValue, field: str) -> None:
    interface = an_interface(a_field("question"), a_field("past", type_name="History"), a_field("answer", "output"))

    assert list(problems(interface, {"question": "Hi", "past": history})) == [field]


def test_the_name_of_an_unknown_field_is_not_shown_when_it_is_a_key() -> None:
    assert list(problems(taking("int"), {"value": 1, "sk-proj-abcdefghijklmnopqrstuvwx1234567890": 1})) == ["(a key)"]


@given(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(["value", "other"]), JSON))
def test_any_json_is_either_taken_unchanged_or_refused(type_name: str, values: dict[str, JsonValue]) -> None:
    interface = taking(type_name)

    taken = {name: value for name, value in _taken(interface, values).items() if name in values}

    assert json.dumps(taken) in (json.dumps(values), "{}")


def _taken(interface: ProgramInterface, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return what was taken; nothing when it was refused."""
    with contextlib.suppress(InvalidRequestError):
        return check_inputs(interface, values)
    return {}
