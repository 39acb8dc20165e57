"""Constants, aliases and types that a metric uses travel by value."""
# ruff: noqa: ANN401  # metrics take whatever the program gives, and seldom look at the trace

import collections
import collections.abc
import enum
import functools
import math
import os.path as osp
import typing
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import annotated_types
import dspy
import pydantic
import pytest

from dspy_service.client import SourceError, serialize_source
from tests.unit.client.loading import load
from tests.unit.client.subjects import Urgency, exact_team, normalise


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Parent:
    def shout(self) -> str:
        return "parent"


class Child(Parent):
    def shout(self) -> str:
        return super().shout().upper()


@dataclass(frozen=True)
class Limits:
    low: float


T = TypeVar("T")
SCALARS = (True, 1, 1.5, -2j, b"x", None, "ä\n")
ODD_FLOATS = [math.inf, -math.inf]
NESTED = {"a": [1, (2,), ()], "b": {3, 4}, "c": frozenset({"x"}), Urgency.LOW: {}}
RIGHTS = Right.READ | Right.WRITE
LOWEST = Urgency.LOW
STEPS = {"clean": normalise, "count": len, "kind": Urgency}
Names = list[str] | None
Handler = collections.abc.Callable[[int, str], bool]
Positive = typing.Annotated[int, annotated_types.Ge(ge=1)]
tidy = normalise
LIMITS = Limits(0.5)


def uses_scalars() -> Any:
    return SCALARS


def uses_odd_floats() -> Any:
    return ODD_FLOATS


def uses_nested() -> Any:
    return NESTED


def uses_enums() -> Any:
    return RIGHTS.value, LOWEST.value


def uses_functions() -> Any:
    return STEPS["clean"]("The END"), STEPS["count"]("abc"), STEPS["kind"]("low").value


def uses_aliases() -> Any:
    return typing.get_args(Names), typing.get_args(Handler), typing.get_args(Positive)


def uses_other_names() -> Any:
    return tidy("The END"), osp.normcase("a"), collections.OrderedDict(a=1)


def uses_super() -> Any:
    return Child().shout()


def uses_text_that_reaches_left() -> Any:
    def inner() -> str:
        return """
left
"""

    return inner()


@functools.lru_cache
def uses_a_decorator() -> Any:
    return tidy("The END")


def quotes_its_types(limits: "Limits", when: "date | None" = None) -> "Parent":
    return Parent()


@pytest.mark.parametrize(
    "function",
    [
        uses_scalars,
        uses_odd_floats,
        uses_enums,
        uses_functions,
        uses_aliases,
        uses_other_names,
        uses_super,
        uses_text_that_reaches_left,
        uses_a_decorator,
    ],
    ids=lambda function: function.__name__,
)
def test_a_function_gives_the_same_elsewhere(function: Any) -> None:
    again = load(serialize_source(function))[function.__name__]

    assert again() == function()


def test_containers_keep_their_kinds() -> None:
    again = load(serialize_source(uses_nested))

    nested = again["uses_nested"]()
    assert nested.pop(again["Urgency"].LOW) == {}
    assert nested == {"a": [1, (2,), ()], "b": {3, 4}, "c": frozenset({"x"})}


def test_quoted_types_come_along() -> None:
    again = load(serialize_source(quotes_its_types))

    hints = typing.get_type_hints(again["quotes_its_types"])
    assert hints == {"limits": again["Limits"], "when": date | None, "return": again["Parent"]}


def uses_a_record(gold: Any, pred: Any) -> Any:
    return LIMITS.low


def uses_a_type_variable(gold: Any, pred: Any) -> Any:
    return typing.cast("Any", T)


@pytest.mark.parametrize(("function", "culprit"), [(uses_a_record, "LIMITS"), (uses_a_type_variable, "T")])
def test_objects_without_source_are_refused(function: Any, culprit: str) -> None:
    with pytest.raises(SourceError) as caught:
        serialize_source(function)

    assert caught.value.name == culprit


def test_a_field_of_a_type_without_source_is_refused() -> None:
    signature = dspy.make_signature({"q": (str, dspy.InputField()), "a": (str, dspy.OutputField())})
    signature.model_fields["a"].annotation = list[T]  # type: ignore[valid-type]  # the mistake under test

    with pytest.raises(SourceError, match="cannot be written as source") as caught:
        serialize_source(signature)

    assert caught.value.name == "a"


def test_a_model_made_by_a_call_keeps_its_pattern_and_factory() -> None:
    model = pydantic.create_model(
        "Code",
        text=(str, pydantic.Field(pattern="^[a-z]+$", max_length=3)),
        tags=(list, pydantic.Field(default_factory=list)),
    )
    signature = dspy.make_signature({"q": (str, dspy.InputField()), "code": (model, dspy.OutputField())}, "Code it.")

    again = load(serialize_source(signature))["Code"]

    assert again(text="abc").tags == []
    for wrong in ("ABC", "abcd"):
        with pytest.raises(pydantic.ValidationError):
            again(text=wrong)


def test_a_method_that_depends_on_a_variable_around_its_class_is_refused() -> None:
    limit = 3

    class Scorer:
        def score(self) -> int:
            return limit

    with pytest.raises(SourceError, match=r"`Scorer\.score` uses `limit`"):
        serialize_source(Scorer)


def test_a_partial_is_refused() -> None:
    with pytest.raises(SourceError, match="submit a plain function"):
        serialize_source(functools.partial(exact_team, trace=None))


def test_builtins_are_not_imported() -> None:
    source = serialize_source(uses_functions)

    assert "builtins import" not in source


def test_a_class_inside_a_function_with_text_that_reaches_left_is_kept() -> None:
    class Awkward(dspy.Signature):
        """Do this."""

        question: str = dspy.InputField(
            desc="""Long
text"""
        )
        hint: typing.Annotated[str, "not a type"] = dspy.InputField()
        answer: "typing.Literal['yes', 'no']" = dspy.OutputField()

    again = load(serialize_source(Awkward))["Awkward"]

    assert again.model_fields["question"].json_schema_extra["desc"] == "Long\ntext"
    assert list(again.output_fields) == ["answer"]


LOOKUP = {"first": lambda text: text.lower()}


def uses_a_lambda_among_others() -> Any:
    return LOOKUP["first"]("A")


def test_a_lambda_inside_a_constant_travels() -> None:
    again = load(serialize_source(uses_a_lambda_among_others))["uses_a_lambda_among_others"]

    assert again() == "a"
