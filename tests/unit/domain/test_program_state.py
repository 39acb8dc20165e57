"""A program's state may fill in demonstrations and instructions, and nothing else."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.program_state import (
    MAX_DEPTH,
    MAX_MARKS,
    MAX_STATE_BYTES,
    PREDICTOR_KEYS,
    ProgramStateError,
    check_program_state,
    recorded_fields,
)
from tests.support.program_files import FIELDS, state

TWO = {"first": ["text", "label"], "second.predict": ["text", "label"]}


def check(found: Any, fields: Any = FIELDS) -> Any:  # noqa: ANN401  # JSON
    return check_program_state(json.dumps(found).encode(), fields)


def two_predictors() -> dict[str, Any]:
    versions = state()["metadata"]
    one = {name: value for name, value in state().items() if name != "metadata"}
    return {"first": one, "second.predict": json.loads(json.dumps(one)), "metadata": versions}


def test_an_honest_state_is_returned() -> None:
    assert check(state()) == state()
    assert check(two_predictors(), TWO) == two_predictors()


@pytest.mark.parametrize(
    "hostile",
    [
        {"config": {"api_base": "http://evil.example"}},
        {"config": {"base_url": "http://evil.example"}},
        {"forward": "x"},
        {"__class__": "x"},
        {"fields": {}},
        {"extended_signature": {}},
        {"lm": {"model": "openai/x", "api_base": "http://evil.example"}},
        {"lm": {}},
        {"demos": {"0": {}}},
        {"demos": ["x"]},
        {"traces": None},
        {"train": [[1]]},
        {"signature": None},
        {"signature": {"instructions": "i", "fields": [], "extra": 1}},
        {"signature": {"instructions": None, "fields": state()["signature"]["fields"]}},
        {"signature": {"instructions": "i", "fields": state()["signature"]["fields"][:1]}},
        {"signature": {"instructions": "i", "fields": [{"prefix": "p", "description": None}] * 2}},
        {"signature": {"instructions": "i", "fields": [{"prefix": "p", "description": "d", "type": "int"}] * 2}},
        {"metadata": {"dependency_versions": {}, "more": 1}},
        {"metadata": {"dependency_versions": {"dspy": 3}}},
        {"metadata": None},
    ],
    ids=lambda hostile: next(iter(hostile)),
)
def test_a_hostile_state_is_refused(hostile: dict[str, Any]) -> None:
    nested = two_predictors()
    nested["second.predict"].update(hostile)

    with pytest.raises(ProgramStateError):
        check(state(**hostile))
    with pytest.raises(ProgramStateError):
        check(nested, TWO)


@pytest.mark.parametrize("key", sorted(PREDICTOR_KEYS))
def test_a_predictor_needs_each_of_its_keys(key: str) -> None:
    found = state()
    del found[key]

    with pytest.raises(ProgramStateError, match=key):
        check(found)


@given(key=st.text(min_size=1).filter(lambda key: key not in PREDICTOR_KEYS | {"metadata"}))
def test_no_other_key_is_ever_accepted(key: str) -> None:
    nested = two_predictors()
    nested["first"][key] = None

    with pytest.raises(ProgramStateError):
        check({**state(), key: None})
    with pytest.raises(ProgramStateError):
        check(nested, TWO)


def test_predictors_are_those_of_the_program() -> None:
    found = two_predictors()

    with pytest.raises(ProgramStateError, match=r"Only program\.json has a predictor 'second"):
        check(found, {"first": ["text", "label"]})
    with pytest.raises(ProgramStateError, match=r"Only metadata\.json has a predictor 'third'"):
        check(found, {**TWO, "third": ["a"]})


def nest(depth: int) -> Any:  # noqa: ANN401  # JSON
    return [nest(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b" " * (MAX_STATE_BYTES + 1), "bytes"),
        (lambda: b"[" + b"[]," * MAX_MARKS + b"1]", "values"),
        (lambda: json.dumps(state(demos=[{"text": nest(MAX_DEPTH)}])).encode(), "deeper"),
        (lambda: b"[" * 100_000, "not JSON"),
        (lambda: b'{"a": NaN}', "not JSON"),
        (lambda: b"\xff", "not JSON"),
        (lambda: b"", "not JSON"),
        (lambda: b"[]", "object"),
    ],
)
def test_what_is_too_large_too_deep_or_no_json_is_refused(make: Callable[[], bytes], words: str) -> None:
    with pytest.raises(ProgramStateError, match=words):
        check_program_state(make(), FIELDS)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"predictors": {}},
        {"predictors": []},
        {"predictors": {"self": []}},
        {"predictors": {"self": "text"}},
        {"predictors": {"self": ["text", "text"]}},
        {"predictors": {"self": ["not a name"]}},
        {"predictors": {"self": [1]}},
        {"predictors": {str(number): ["a"] for number in range(300)}},
    ],
)
def test_metadata_must_say_what_the_program_is_made_of(metadata: object) -> None:
    with pytest.raises(ProgramStateError, match="predictor"):
        recorded_fields(metadata)


def test_a_sentence_shows_little_and_escaped() -> None:
    found = {**state(), "\x1b[31m\u202e" + "x" * 500: 1}

    with pytest.raises(ProgramStateError) as caught:
        check(found)

    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
