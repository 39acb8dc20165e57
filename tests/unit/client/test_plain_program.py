"""A program of plain types is rebuilt from data, and hostile data never reaches DSPy's loader."""

import json
from typing import Any, Literal, Optional, Union

import dspy
import pytest
from dspy.utils import DummyLM

from dspy_service.client.errors import ProgramLoadError
from dspy_service.client.plain_program import plain_type, rebuild_program
from dspy_service.domain.program_state import ProgramStateError
from dspy_service.domain.strict_loading import fields_of, load_state_strictly

VERSIONS = {"metadata": {"dependency_versions": {"dspy": "3.4.1"}}}


class Ask(dspy.Signature):
    """Old."""

    question: str = dspy.InputField(desc="a question")
    answer: str = dspy.OutputField(desc="an answer")


def compiled(module: Any = dspy.Predict) -> dspy.Module:  # noqa: ANN401  # a class of DSPy
    program = module(Ask)
    predictor = program.predictors()[0]
    predictor.signature = predictor.signature.with_instructions("New.")
    predictor.demos = [dspy.Example(augmented=True, question="1+1", answer="2")]
    return program


def state_of(program: dspy.Module, **changes: object) -> bytes:
    return json.dumps({**program.dump_state(), **VERSIONS, **changes}).encode()


def facts(**changes: object) -> bytes:
    fields = [
        {"name": "question", "side": "input", "type": "str", "desc": "a question"},
        {"name": "answer", "side": "output", "type": "str", "desc": "an answer"},
    ]
    told = {
        "module_factory": "dspy.Predict",
        "module_kwargs": {"temperature": 0.5},
        "signature": {"name": "Ask", "instructions": "Old.", "fields": fields},
        "predictors": {"self": ["question", "answer"]},
    }
    return json.dumps({**told, **changes}).encode()


@pytest.mark.parametrize("module", [dspy.Predict, dspy.ChainOfThought])
def test_a_state_makes_the_round_trip(module: Any) -> None:  # noqa: ANN401  # a class of DSPy
    fresh = module(Ask)

    load_state_strictly(fresh, state_of(compiled(module)), recorded=fields_of(compiled(module)))

    assert fresh.dump_state() == compiled(module).dump_state()


@pytest.mark.parametrize(
    "hostile",
    [
        {"config": {"api_base": "http://evil.example"}},
        {"config": {"base_url": "http://evil.example"}},
        {"forward": "x"},
        {"extra": {"demos": []}},
        {"lm": {"model": "openai/x"}},
    ],
)
def test_a_hostile_state_changes_nothing(hostile: dict[str, object]) -> None:
    fresh = dspy.Predict(Ask)
    before = dict(vars(fresh))

    with pytest.raises(ProgramStateError):
        load_state_strictly(fresh, state_of(compiled(), **hostile))

    assert vars(fresh) == before


def test_a_state_of_another_signature_is_refused() -> None:
    with pytest.raises(ProgramStateError, match="other predictors or fields"):
        load_state_strictly(dspy.Predict("a -> c"), state_of(compiled()), recorded=fields_of(compiled()))


def test_a_program_is_rebuilt_and_answers() -> None:
    program = rebuild_program(facts(), state_of(compiled()))

    with dspy.context(lm=DummyLM([{"answer": "4"}]), adapter=dspy.ChatAdapter()):
        answer = program(question="2+2").answer
    assert answer == "4"
    assert program.config == {"temperature": 0.5}
    assert (program.signature.instructions, len(program.demos)) == ("New.", 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"module_factory": "os.system"},
        {"module_kwargs": {"api_base": "http://evil.example"}},
        {"module_kwargs": {"temperature": "hot"}},
        {"signature": None},
        {
            "signature": {
                "name": "S",
                "instructions": "",
                "fields": [{"name": "a", "side": "x", "type": "str", "desc": ""}],
            }
        },
        {"predictors": {"self": ["question", "other"]}},
        {"predictors": None},
    ],
)
def test_what_data_cannot_tell_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ProgramLoadError):
        rebuild_program(facts(**changes), state_of(compiled()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("str", str),
        ("list[dict[str, int]]", list[dict[str, int]]),
        ("Literal['a', 1]", Literal["a", 1]),
        ("Optional[float]", Optional[float]),  # noqa: UP045 - as DSPy spells it
        ("Union[int, NoneType]", Union[int, None]),  # noqa: UP007 - as DSPy spells it
        ("bool | None", bool | None),
    ],
)
def test_plain_types_are_read(text: str, expected: object) -> None:
    assert plain_type(text) == expected


@pytest.mark.parametrize(
    "text", ["Details", "os.system('x')", "list[Details]", "__import__('os')", "str +", "list[()]", "(" * 500]
)
def test_anything_else_is_no_plain_type(text: str) -> None:
    with pytest.raises(ValueError, match="type"):
        plain_type(text)
