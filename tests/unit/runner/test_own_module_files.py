"""What a runner writes of a program of an operator's module may be stored, and tells what it takes and gives."""

import dspy
import pytest

from dspy_service.domain.serving.program_description import ProgramDescription, describe_program
from dspy_service.domain.strict_loading import fields_of
from tests.support.own_programs import PlanThenAnswer
from workers.runner.artifact import metadata, signature_data, state_json

SIGNATURE = dspy.Signature("question: str, limit: int -> answer: str", "Answer the question.")


def look_up(query: str) -> str:
    """Return what is known."""
    return query


def described(program: dspy.Module) -> ProgramDescription:
    facts = {"module_name": "own", "signature": signature_data(SIGNATURE), "predictors": fields_of(program)}
    return describe_program(state_json(program), metadata(facts))


@pytest.mark.parametrize(
    ("program", "predictors"),
    [
        (dspy.ReAct(SIGNATURE, tools=[look_up]), {"react", "extract.predict"}),
        (PlanThenAnswer(SIGNATURE), {"plan", "answer.predict"}),
    ],
    ids=["react", "own"],
)
def test_all_predictors_are_stored_and_the_signature_speaks_for_them(
    program: dspy.Module, predictors: set[str]
) -> None:
    found = described(program)

    assert found.predictors.keys() == predictors
    assert [(field.name, field.type_name) for field in found.interface.fields] == [
        ("question", "str"),
        ("limit", "int"),
        ("answer", "str"),
    ]
    assert found.interface.instructions == "Answer the question."
    assert found.why_not_plain("own") == "its module 'own' is the operator's own"
