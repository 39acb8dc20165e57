"""Kwargs are checked one by one: name, JSON type, bounds, choices."""

import pytest
from pydantic import JsonValue

from dspy_service.domain.catalogue.entries import Kwarg
from dspy_service.domain.catalogue.kwargs import check_kwargs, with_defaults
from dspy_service.domain.errors import UnsupportedRequestError

ACCEPTED = {
    "k": Kwarg(kind="integer", minimum=1, maximum=8, default=4),
    "threshold": Kwarg(kind="number", nullable=True),
    "auto": Kwarg(kind="string", choices=("light", "heavy"), default="light"),
    "sample": Kwarg(kind="boolean", default=True),
    "options": Kwarg(kind="object", nullable=True),
    "seeds": Kwarg(kind="array", nullable=True),
}
REFUSED = {"log_dir": "it names a path on the server"}


def check(given: dict[str, JsonValue]) -> None:
    check_kwargs(given, ACCEPTED, REFUSED, field="optimizer_kwargs", owner="miprov2")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"k": 1},
        {"k": 8},
        {"threshold": 1},
        {"threshold": 0.5},
        {"threshold": None},
        {"auto": "heavy"},
        {"sample": False},
        {"options": {"a": 1}},
        {"seeds": [1]},
    ],
)
def test_what_the_entry_allows_is_accepted(given: dict[str, JsonValue]) -> None:
    check(given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"k": 0}, "optimizer_kwargs.k must be at least 1"),
        ({"k": 9}, "optimizer_kwargs.k must be at most 8"),
        ({"k": 2.0}, "optimizer_kwargs.k must be an integer, not a number"),
        ({"k": True}, "optimizer_kwargs.k must be an integer, not a boolean"),
        ({"k": "4"}, "optimizer_kwargs.k must be an integer, not a string"),
        ({"k": None}, "optimizer_kwargs.k must be an integer, not null"),
        ({"threshold": False}, "optimizer_kwargs.threshold must be a number or null, not a boolean"),
        ({"threshold": []}, "optimizer_kwargs.threshold must be a number or null, not an array"),
        ({"auto": "tiny"}, "optimizer_kwargs.auto must be one of 'light', 'heavy'"),
        ({"sample": 1}, "optimizer_kwargs.sample must be a boolean, not an integer"),
        ({"options": "a"}, "optimizer_kwargs.options must be an object or null, not a string"),
        ({"seeds": {}}, "optimizer_kwargs.seeds must be an array or null, not an object"),
        ({"log_dir": "logs"}, "optimizer_kwargs.log_dir is not available here: it names a path on the server"),
        ({"sampel": True}, "miprov2 does not know optimizer_kwargs.sampel; did you mean 'sample'?"),
        ({"zzz": 1}, "it accepts: auto, k, options, sample, seeds, threshold"),
    ],
)
def test_what_it_does_not_allow_is_refused_by_name(given: dict[str, JsonValue], sentence: str) -> None:
    with pytest.raises(UnsupportedRequestError) as caught:
        check(given)

    assert sentence in str(caught.value)
    assert caught.value.field == f"optimizer_kwargs.{next(iter(given))}"


def test_a_required_kwarg_must_be_sent() -> None:
    accepted = {"max_demos": Kwarg(kind="integer", required=True)}

    with pytest.raises(UnsupportedRequestError, match=r"mine needs compile_kwargs\.max_demos"):
        check_kwargs({}, accepted, {}, field="compile_kwargs", owner="mine")


def test_an_entry_without_kwargs_says_that_it_accepts_none() -> None:
    with pytest.raises(UnsupportedRequestError, match="it accepts: none"):
        check_kwargs({"k": 1}, {}, {}, field="compile_kwargs", owner="mine")


def test_defaults_fill_what_was_not_sent() -> None:
    merged = with_defaults({"k": 2}, ACCEPTED)

    assert merged == {"k": 2, "threshold": None, "auto": "light", "sample": True, "options": None, "seeds": None}
