"""The text of a type is enough to know it, or it is the submitter's own; nothing is ever evaluated."""

from typing import Any, Literal, Optional, Union

import dspy
import pytest
from dspy.adapters.utils import get_annotation_name
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from dspy_service.domain.serving.plain_types import MAX_DEPTH, MAX_TYPE_CHARS, plain_type
from workers.runner.artifact import signature_data

PLAIN = [
    str,
    int,
    float,
    bool,
    Any,
    list,
    dict,
    type(None),
    list[str],
    dict[str, int],
    dict[str, Any],
    list[dict[str, list[float]]],
    int | None,
    str | int | None,
    Optional[str],  # noqa: UP045 - as submitters write it
    Union[int, str],  # noqa: UP007 - likewise
    Literal["a", "it's", 'say "x"', "ü\n"],
    Literal[1, -2, True],
    Optional[list[Literal["x", "y"]]],  # noqa: UP045 - likewise
]


def written(annotation: object) -> str:
    """Return the text that a runner writes of a type."""
    signature = dspy.Signature({"x": (annotation, dspy.InputField()), "y": (str, dspy.OutputField())}, "Do.")
    return str(signature_data(signature)["fields"][0]["type"])


@pytest.mark.parametrize("annotation", PLAIN, ids=str)
def test_a_type_is_read_from_what_a_runner_wrote_of_it(annotation: Any) -> None:  # noqa: ANN401  # any type
    plain = plain_type(written(annotation))

    assert plain is not None
    assert get_annotation_name(plain.annotation) == get_annotation_name(annotation)
    assert TypeAdapter(plain.annotation).json_schema() == TypeAdapter(annotation).json_schema()


class History(BaseModel):
    """A type of the submitter's own that is called like one of DSPy's."""


def test_a_class_that_is_only_called_like_a_plain_type_is_not_taken_for_it() -> None:
    assert plain_type(written(dspy.History)) is not None
    assert plain_type(written(History)) is None


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("str", {"type": "string"}),
        ("list[int]", {"type": "array", "items": {"type": "integer"}}),
        ("List[int]", {"type": "array", "items": {"type": "integer"}}),
        ("Dict[str, bool]", {"type": "object", "additionalProperties": {"type": "boolean"}}),
        ("float | None", {"anyOf": [{"type": "number"}, {"type": "null"}]}),
        ("Optional[float]", {"anyOf": [{"type": "number"}, {"type": "null"}]}),
        ("Literal['a', 1, None]", {"enum": ["a", 1, None]}),
        ("Any", {}),
    ],
)
def test_the_schema_says_what_a_value_may_be(text: str, schema: dict[str, Any]) -> None:
    plain = plain_type(text)

    assert plain is not None
    assert plain.json_schema == schema


@pytest.mark.parametrize("text", ["History", "dspy.History"])
def test_a_history_is_known_by_its_name(text: str) -> None:
    plain = plain_type(text)

    assert plain is not None
    assert plain.is_history
    assert plain.json_schema["required"] == ["messages"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Details",
        "Image",
        "list[Details]",
        "tuple[int, str]",
        "set[str]",
        "dict[int, str]",
        "dict[str]",
        "list[str, int]",
        "List",
        "Optional[int, str]",
        "Literal[1.5]",
        "Literal[b'a']",
        "Literal[...]",
        "Literal[-'a']",
        "Literal[<Color.RED: 1>]",
        "list[dspy.History]",
        "__import__('os').getcwd()",
        "str if True else int",
        "(lambda: str)()",
        "str; int",
        "str\nint",
        "int & str",
        "list[",
        "list[" * (MAX_DEPTH + 1) + "str" + "]" * (MAX_DEPTH + 1),
        "list[" * 50_000,
        "(" * 500 + ")" * 500,
        "Literal['" + "a" * MAX_TYPE_CHARS + "']",
    ],
    ids=lambda text: text[:30],
)
def test_any_other_text_is_the_submitters_own_type(text: str) -> None:
    assert plain_type(text) is None


@given(text=st.text(alphabet=" ()[]|,.'\"-0123456789abdefilnorstyAELNOU_\\\0{}", max_size=60))
def test_no_text_does_harm(text: str) -> None:
    plain = plain_type(text)

    assert plain is None or plain.is_history or TypeAdapter(plain.annotation).json_schema() is not None
