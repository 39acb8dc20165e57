"""A caller's JSON becomes what the program's own types say, or is refused by the name of its field."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import dspy
import pydantic
import pytest

from workers.host.values import InputRefusedError, InputTypes


class Person(pydantic.BaseModel):
    name: str
    born: dt.date


class Exact(pydantic.BaseModel, strict=True):
    """Takes nothing but what JSON has for its types."""

    born: dt.date
    pair: tuple[int, int]


class Opaque:
    """A type that pydantic knows nothing of."""


class Ask(dspy.Signature):
    """Answer."""

    person: Person = dspy.InputField()
    when: dt.datetime | None = dspy.InputField()
    tags: set[str] = dspy.InputField()
    history: dspy.History = dspy.InputField()
    answer: str = dspy.OutputField()


class Tagged(dspy.Signature):
    """Answer."""

    tags: list[str] = dspy.InputField(default_factory=lambda: ["new"])
    answer: str = dspy.OutputField()


class Two(dspy.Module):
    """Its signature is in its predictors only."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict(Ask)
        self.second = dspy.Predict("answer -> shorter")


@pytest.mark.parametrize("program", [dspy.Predict(Ask), dspy.ChainOfThought(Ask), Two()], ids=["own", "cot", "within"])
def test_values_become_what_the_signature_says(program: dspy.Module) -> None:
    turns = {"messages": [{"answer": "yes"}]}
    values: Any = {
        "person": {"name": "Ada", "born": "1815-12-10"},
        "when": None,
        "tags": ["a", "b"],
        "history": turns,
    }

    read = InputTypes(program).read(values)

    assert read["person"] == Person(name="Ada", born=dt.date(1815, 12, 10))
    assert (read["when"], read["tags"]) == (None, {"a", "b"})
    assert read["history"] == dspy.History(messages=turns["messages"])


def test_a_strict_type_reads_what_json_cannot_say() -> None:
    program = dspy.Predict(dspy.Signature("question -> answer").append("exact", dspy.InputField(), type_=Exact))

    read = InputTypes(program).read({"exact": {"born": "1815-12-10", "pair": [1, 2]}})

    assert read == {"exact": Exact(born=dt.date(1815, 12, 10), pair=(1, 2))}
    with pytest.raises(InputRefusedError, match=r"exact\.pair\.1: "):
        InputTypes(program).read({"exact": {"born": "1815-12-10", "pair": [1, "2"]}})


def test_a_value_that_does_not_fit_is_refused_by_its_place() -> None:
    with pytest.raises(InputRefusedError, match=r"person\.born: ") as refused:
        InputTypes(dspy.Predict(Ask)).read({"person": {"name": "Ada", "born": "soon"}})

    assert refused.value.field == "person"


@pytest.mark.parametrize("kind", [dspy.Predict, dspy.ChainOfThought])
def test_a_default_that_code_makes_is_made_for_each_run(kind: Callable[..., dspy.Module]) -> None:
    types = InputTypes(kind(Tagged))

    one, other = types.read({}), types.read({})

    assert one == other == {"tags": ["new"]}
    assert one["tags"] is not other["tags"]
    assert types.read({"tags": ["sent"]}) == {"tags": ["sent"]}


def test_a_module_makes_the_inputs_of_its_predictors_itself() -> None:
    program = Two()
    program.first = dspy.Predict(Tagged)

    assert InputTypes(program).read({"answer": "x"}) == {"answer": "x"}


def test_what_no_signature_knows_stays_as_it_is() -> None:
    program = dspy.Predict(dspy.Signature("question -> answer").append("odd", dspy.InputField(), type_=Any))

    assert InputTypes(program).read({"odd": {"a": 1}, "more": [1]}) == {"odd": {"a": 1}, "more": [1]}
