"""Source from where there are no files: notebook cells and prompts."""

import inspect
import linecache
from collections.abc import Iterator
from types import SimpleNamespace

import dspy.teleprompt.utils as dspy_utils
import pytest

from dspy_service.client import SourceError, serialize_source
from tests.unit.client.loading import Notebook, load

CELL = """
import enum
import dspy
from typing import Callable, Literal
from pydantic import BaseModel, Field, field_validator

class Size(enum.Enum):
    S = 1
    L = 2

class Empty(BaseModel):
    pass

class Item(BaseModel):
    name: str
    size: Size = Size.S
    tags: list[str] = Field(default_factory=list, description="short")

    def label(self) -> str:
        return self.name.upper()

class Box(BaseModel):
    "Holds items."
    model_config = {"extra": "forbid"}
    items: list[Item]
    nothing: Empty | None = None

class Order(dspy.Signature):
    "Read the order."
    text: str = dspy.InputField(desc="mail")
    kind: Literal["new", "change"] = dspy.OutputField()
    box: Box = dspy.OutputField()

def metric(gold, pred, trace=None):
    return Item(name=gold.kind).label() == pred.kind.upper()
"""


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    cells = Notebook("notebook_under_test")
    yield cells
    cells.close()


def test_classes_of_a_cell_are_written_again(notebook: Notebook) -> None:
    notebook.run(CELL)

    again = load(serialize_source(notebook.Order))

    assert again["Order"].instructions == "Read the order."
    assert again["Order"].model_fields["text"].json_schema_extra["desc"] == "mail"
    assert again["Item"](name="lamp").label() == "LAMP"
    assert again["Box"](items=[{"name": "lamp"}]).items[0].size is again["Size"].S
    assert again["Box"].__doc__ == "Holds items."
    with pytest.raises(ValueError, match="extra"):
        again["Box"](items=[], more=1)


def test_a_function_of_a_cell_travels_with_its_classes(notebook: Notebook) -> None:
    notebook.run(CELL)

    metric = load(serialize_source(notebook.metric))["metric"]

    assert metric(SimpleNamespace(kind="new"), SimpleNamespace(kind="New"))


def test_a_class_that_was_changed_is_the_newest(notebook: Notebook) -> None:
    notebook.run(CELL)
    notebook.run(CELL.replace('Literal["new", "change"]', 'Literal["open"]').replace("upper()", "lower()"))

    source = serialize_source(notebook.Order)

    assert "'open'" in source
    assert load(source)["Item"](name="Lamp").label() == "lamp"


@pytest.fixture
def without_dspys_inspect(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as DSPy is not loaded, Python itself cannot find a class of a cell; DSPy teaches it."""
    monkeypatch.setattr(inspect, "getfile", dspy_utils.old_getfile)


@pytest.mark.usefixtures("without_dspys_inspect")
def test_a_class_is_found_around_its_method(notebook: Notebook) -> None:
    notebook.run(CELL)

    source = serialize_source(notebook.Item)

    assert load(source)["Item"](name="lamp").label() == "LAMP"
    assert "tags: list[str] = Field(default_factory=list" in source


@pytest.mark.usefixtures("without_dspys_inspect")
def test_a_class_with_a_method_in_a_cell_that_cannot_be_parsed_is_refused(notebook: Notebook) -> None:
    notebook.run(CELL)
    file = notebook.Item.label.__code__.co_filename
    linecache.cache[file] = (5, None, ["%magic\n"], file)

    with pytest.raises(SourceError, match=r"`Item\.label` is not available"):
        serialize_source(notebook.Order)


def test_two_things_of_one_name_are_refused(notebook: Notebook) -> None:
    notebook.run(
        "from tests.unit.client.subjects import exact_team\n"
        "def normalise(text):\n    return text\n"
        "def metric(gold, pred):\n    return exact_team(normalise(gold), pred)\n"
    )

    with pytest.raises(SourceError, match="Two different things are called `normalise`"):
        serialize_source(notebook.metric)


LOST_VALIDATOR = """
from pydantic import BaseModel, field_validator

def _check(cls, value):
    return value

class M(BaseModel):
    a: int
    check = field_validator("a")(classmethod(_check))
"""


@pytest.mark.parametrize(
    ("cell", "name", "sentence"),
    [
        (LOST_VALIDATOR, "M", "validators"),
        ("class Plain:\n    size = 3\n", "Plain", "not available"),
    ],
)
def test_a_class_whose_code_is_lost_is_refused(notebook: Notebook, cell: str, name: str, sentence: str) -> None:
    notebook.run(cell)

    with pytest.raises(SourceError, match=sentence) as caught:
        serialize_source(getattr(notebook, name))

    assert caught.value.name == name


def test_a_function_from_a_prompt_is_refused() -> None:
    space: dict[str, object] = {"__name__": "prompt"}
    exec("def metric(gold, pred):\n    return 1.0\n", space)  # noqa: S102  # text that nobody keeps

    with pytest.raises(SourceError, match="source of `metric` is not available"):
        serialize_source(space["metric"])  # type: ignore[arg-type]  # a function
