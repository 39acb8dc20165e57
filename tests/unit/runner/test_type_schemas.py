"""A field whose type is the submitter's own takes its JSON Schema along, where it has one that is worth keeping."""

import datetime as dt
import enum
import warnings
from typing import Any, Literal, Optional

import dspy
import pytest
from pydantic import BaseModel, Field, GetJsonSchemaHandler, computed_field
from pydantic_core import CoreSchema

from workers.runner.artifact import signature_data


class Tone(enum.Enum):
    DRY = "dry"
    WARM = "warm"


class Details(BaseModel):
    urgency: int
    tone: Tone = Tone.DRY
    since: object = Field(default_factory=object)
    until: Any = object()

    @computed_field  # type: ignore[prop-decorator]  # as pydantic's documentation has it
    @property
    def is_urgent(self) -> bool:
        return self.urgency > 3


class Opaque:
    """No type that pydantic knows."""


class Holding(BaseModel, arbitrary_types_allowed=True):
    thing: Opaque


class Failing(BaseModel):
    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        message = "submitted code raises what it likes"
        raise ArithmeticError(message)


class Elsewhere(BaseModel):
    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"$ref": "https://evil.example/schema.json"}


Huge = Literal[tuple(f"label-{number}" for number in range(5_000))]  # type: ignore[valid-type]  # made at run time


def fields_of(annotation: object) -> list[dict[str, Any]]:
    """Return what is recorded of an input and of an output of a type."""
    parts: dict[str, Any] = {"given": (annotation, dspy.InputField()), "made": (annotation, dspy.OutputField())}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found: list[dict[str, Any]] = signature_data(dspy.Signature(parts, "Do it."))["fields"]
    return found


@pytest.mark.parametrize("plain", [str, list[int], Optional[float], Literal["a", "b"], dspy.History], ids=str)  # noqa: UP045  # as DSPy sees it
def test_a_plain_type_needs_no_schema(plain: object) -> None:
    assert all("json_schema" not in field for field in fields_of(plain))


def test_a_model_says_what_goes_in_and_what_comes_out() -> None:
    given, made = (field["json_schema"] for field in fields_of(Details))

    assert given["required"] == ["urgency"]
    assert "is_urgent" not in given["properties"]
    assert given["properties"]["tone"] == {"$ref": "#/$defs/Tone", "default": "dry"}
    assert given["$defs"]["Tone"]["enum"] == ["dry", "warm"]
    assert made["properties"]["is_urgent"] == {"readOnly": True, "title": "Is Urgent", "type": "boolean"}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Optional[Details], {"anyOf": [{"$ref": "#/$defs/Details"}, {"type": "null"}]}),  # noqa: UP045  # as DSPy sees it
        (list[Details], {"items": {"$ref": "#/$defs/Details"}, "type": "array"}),
        (dt.date, {"format": "date", "type": "string"}),
        (Tone, {"enum": ["dry", "warm"], "title": "Tone", "type": "string"}),
    ],
    ids=["optional", "list", "date", "enum"],
)
def test_types_around_and_beside_models_have_one_too(annotation: object, expected: dict[str, Any]) -> None:
    schema = fields_of(annotation)[0]["json_schema"]

    assert {key: value for key, value in schema.items() if key != "$defs"} == expected


@pytest.mark.parametrize("annotation", [Holding, Failing, Elsewhere, Huge], ids=["none", "raises", "elsewhere", "huge"])
def test_a_type_without_a_schema_that_may_be_kept_says_nothing(annotation: object) -> None:
    assert [field.get("json_schema", {}) for field in fields_of(annotation)] == [{}, {}]
