"""Submitted classes and functions become source that stands on its own."""
# ruff: noqa: ANN401, ARG005  # signatures and metrics are DSPy's and the user's, typed as loosely as theirs are

import enum
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal

import dspy
import pydantic
import pytest

from dspy_service.client import SourceError, serialize_source
from dspy_service.domain.sources import MetricFacts, SignatureFacts, read_sources
from tests.unit.client import postponed, subjects
from tests.unit.client.loading import load

SIGNATURE = """
class Route(dspy.Signature):
    ticket: str = dspy.InputField()
    team: str = dspy.OutputField()
"""
METRIC = "def metric(gold, pred, trace=None):\n    return 1.0\n"


def read_signature(source: str) -> SignatureFacts:
    """Return what the service finds in a signature's source."""
    return read_sources(source, METRIC, arity=3)[0]


def read_metric(source: str) -> MetricFacts:
    """Return what the service finds in a metric's source."""
    return read_sources(SIGNATURE, source, arity=3)[1]


def fields(signature: Any) -> dict[str, Any]:
    """Return what a signature says about its fields."""
    return {
        name: (
            str(field.annotation).replace("submitted_for_test", "M").replace(signature.__module__, "M"),
            field.json_schema_extra,
            repr(field.default),
            repr(field.metadata),
        )
        for name, field in signature.model_fields.items()
    }


@pytest.mark.parametrize("signature", [subjects.Route, subjects.Careful], ids=lambda s: s.__name__)
def test_a_signature_comes_back_the_same(signature: Any) -> None:
    again = load(serialize_source(signature))[signature.__name__]

    assert fields(again) == fields(signature)
    assert again.instructions == signature.instructions


def test_a_signature_brings_models_enums_and_their_constants_along() -> None:
    source = serialize_source(subjects.Extract)

    again = load(source)

    assert list(again["Extract"].output_fields) == list(subjects.Extract.output_fields)
    assert again["Extract"].model_fields["people"].annotation.__args__ == (again["Person"],)
    assert again["Person"](name=" Ann 12 ", addresses=[{"street": "Hill", "number": 1}]).name == "Ann"
    assert again["Person"](name="Ann").urgency is again["Urgency"].LOW
    with pytest.raises(pydantic.ValidationError):
        again["Address"](street="Hill", number=0)
    assert "subjects" not in source


def test_the_service_finds_the_signature_and_its_fields() -> None:
    facts = read_signature(serialize_source(subjects.Careful))

    assert (facts.name, facts.inputs, facts.outputs) == ("Careful", ("ticket",), ("team", "reason"))


def test_postponed_annotations_stay_postponed() -> None:
    signature = load(serialize_source(postponed.Judge))
    metric = load(serialize_source(postponed.judged))

    assert signature["Judge"].model_fields["answer"].annotation == Literal["yes", "no"] | None
    assert signature["Judge"].model_fields["person"].annotation is signature["Person"]
    assert metric["judged"]({"answer": "The YES"}, {"answer": "yes"})


@pytest.mark.parametrize(
    "make",
    [
        lambda: dspy.Signature("question, context: list[str] -> answer: Literal['a', 'b'], score: Optional[float]"),
        lambda: dspy.Signature("a -> b", 'Use "quotes", \\ and\nlines.'),
        lambda: subjects.Route.with_instructions("Route it *well*."),
        lambda: subjects.Extract.append("extra", dspy.OutputField(desc="more"), type_=dict[str, subjects.Urgency]),
        lambda: subjects.Extract.delete("people"),
    ],
    ids=["typed string", "awkward instructions", "with_instructions", "append", "delete"],
)
def test_a_signature_made_by_a_call_is_written_from_its_fields(make: Callable[[], Any]) -> None:
    signature = make()

    again = load(serialize_source(signature))[signature.__name__]

    assert {n: f[1:] for n, f in fields(again).items()} == {
        n: ({k: v for k, v in f[1].items() if k != "IS_TYPE_UNDEFINED"}, *f[2:]) for n, f in fields(signature).items()
    }
    assert again.instructions == signature.instructions
    assert read_signature(serialize_source(signature)).inputs == tuple(signature.input_fields)


def test_a_class_of_the_same_name_elsewhere_is_not_mistaken_for_it() -> None:
    class Route(dspy.Signature):
        """Another one."""

        ticket: str = dspy.InputField()
        owner: str = dspy.OutputField()

    source = serialize_source(Route)

    assert list(load(source)["Route"].output_fields) == ["owner"]


def test_models_and_enums_made_by_calls_are_written_from_their_fields() -> None:
    colour = enum.Enum("Colour", ["RED", "BLUE"])
    point = pydantic.create_model("Point", x=(int, pydantic.Field(ge=0, le=9)), colour=(colour, colour.RED))
    signature = dspy.make_signature({"q": (str, dspy.InputField()), "point": (point, dspy.OutputField())}, "Locate.")

    again = load(serialize_source(signature))

    assert again["Point"](x=3).colour is again["Colour"].RED
    with pytest.raises(pydantic.ValidationError):
        again["Point"](x=10)


def test_a_metric_brings_what_it_uses() -> None:
    gold, near, far = (SimpleNamespace(team=team) for team in ("The Desk", "a desk", "door"))

    source = serialize_source(subjects.exact_team)
    metric = load(source)["exact_team"]

    assert (metric(gold, near), metric(gold, far)) == (1.0, 0.0)
    assert read_metric(source).name == "metric"
    assert "tests" not in source


def test_a_metric_keeps_patterns_loggers_and_imports() -> None:
    metric = load(serialize_source(subjects.same_numbers))["same_numbers"]

    assert metric(SimpleNamespace(team="1 and 2.5"), SimpleNamespace(team="2.5, 1"))
    assert not metric(SimpleNamespace(team="1"), SimpleNamespace(team="2"))


def test_recursion_and_inner_imports_travel() -> None:
    assert load(serialize_source(subjects.countdown))["countdown"](3, None) == 1.0
    assert load(serialize_source(subjects.imports_inside))["imports_inside"](9, None) == 3.0


def test_a_lone_metric_keeps_its_name() -> None:
    assert read_metric(serialize_source(subjects.imports_inside)).name == "imports_inside"


def test_a_lambda_becomes_a_function() -> None:
    source = serialize_source(subjects.by_length)

    assert load(source)["metric"]("abc", "xyz") == 1.0
    assert read_metric(source).accepted == 3


def test_a_metric_of_dspy_is_submitted_as_source() -> None:
    source = serialize_source(dspy.evaluate.answer_exact_match)

    metric = load(source)["answer_exact_match"]

    assert metric(dspy.Example(answer="Paris"), dspy.Prediction(answer="paris"))
    assert read_metric(source).name in {"answer_exact_match", "metric"}


@pytest.mark.parametrize(
    ("subject", "culprit"),
    [
        (subjects.make_closure(0.5), "threshold"),
        (subjects.uses_an_object, "CALIBRATED"),
        (subjects.uses_nothing_known, "not_anywhere"),
        (print, "print"),
    ],
    ids=["closure", "object", "undefined", "builtin"],
)
def test_what_cannot_travel_is_refused_by_name(subject: Any, culprit: str) -> None:
    with pytest.raises(SourceError) as caught:
        serialize_source(subject)

    assert caught.value.name == culprit
    assert f"`{culprit}`" in str(caught.value)


def test_a_project_module_cannot_travel_as_a_whole() -> None:
    def metric(gold: Any, pred: Any, trace: Any = None) -> bool:
        return subjects.normalise(gold) == subjects.normalise(pred)

    with pytest.raises(SourceError, match="`subjects` is a module of your project"):
        serialize_source(metric)


def test_two_lambdas_on_a_line_are_refused() -> None:
    first, _second = (lambda gold, pred: 1.0), (lambda gold, pred: 0.0)

    with pytest.raises(SourceError, match="write it as a `def`"):
        serialize_source(first)


def test_a_value_is_refused() -> None:
    with pytest.raises(SourceError, match="not a int"):
        serialize_source(3)  # type: ignore[arg-type]  # the mistake under test
