"""A dataset feeds a signature, or the answer says which column or field is wrong."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.dataset import check_columns, check_rows, check_splits, resolve_mapping
from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.result import SplitCounts
from dspy_service.domain.sources import SignatureFacts
from dspy_service.domain.spec import ColumnMapping, Row, SplitFractions
from dspy_service.domain.splits import split_counts

QA = SignatureFacts(name="QA", inputs=("question", "context"), outputs=("answer",))
NESTED = ColumnMapping(inputs={"question": "q", "context": "c"}, outputs={"answer": "a"})


def test_the_nested_form_is_kept_as_it_is() -> None:
    assert resolve_mapping(NESTED, QA) is NESTED


def test_the_flat_form_is_divided_by_the_signature() -> None:
    assert resolve_mapping({"answer": "a", "question": "q", "context": "c"}, QA) == NESTED


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({"question": "q", "answer": "a"}, "inputs misses 'context', which QA declares"),
        ({"question": "q", "context": "c"}, "outputs misses 'answer'"),
        ({"question": "q", "context": "c", "answer": "a", "topic": "t"}, "QA has no field 'topic'; it has inputs"),
        (ColumnMapping(inputs={**NESTED.inputs, "x": "y"}, outputs=NESTED.outputs), "QA has no field 'x'"),
        (
            ColumnMapping(inputs={**NESTED.inputs, "answer": "a"}, outputs={}),
            "'answer' is an output of QA; move it to the other side",
        ),
        (
            ColumnMapping(inputs={"question": "q"}, outputs={"answer": "a", "context": "c"}),
            "misses 'context'",
        ),
        (
            ColumnMapping(inputs=NESTED.inputs, outputs={"answer": "a", "question": "q2"}),
            "'question' is an input of QA; move it to the other side",
        ),
    ],
)
def test_a_mapping_that_does_not_fit_the_signature_is_refused(
    mapping: ColumnMapping | dict[str, str], sentence: str
) -> None:
    with pytest.raises(UnsupportedRequestError, match=re.escape(sentence)) as caught:
        resolve_mapping(mapping, QA)

    assert caught.value.field.startswith("column_mapping.")


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        (ColumnMapping(inputs={"question": "q", "context": "c"}, outputs={"answer": "q"}), "outputs.answer"),
        (ColumnMapping(inputs={"question": "q", "context": "q"}, outputs={"answer": "a"}), "inputs.context"),
        (ColumnMapping(inputs={}, outputs={"answer": "a"}), "inputs"),
    ],
)
def test_a_malformed_mapping_names_the_field(mapping: ColumnMapping, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        resolve_mapping(mapping, QA)

    assert [problem.field for problem in caught.value.problems] == [f"column_mapping.{field}"]


def test_the_first_row_without_a_column_is_named() -> None:
    rows: list[Row] = [{"q": "1", "c": "2", "a": None}, {"q": "1", "a": "3"}, {}]

    with pytest.raises(UnsupportedRequestError, match=r"column 'c' is missing from dataset row 1, which has: 'q', 'a'"):
        check_columns(rows, NESTED)


def test_rows_may_have_more_columns_than_are_mapped() -> None:
    check_columns([{"q": 1, "c": 2, "a": 3, "extra": 4}], NESTED)


def test_empty_rows_are_named() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_rows([{"q": 1}, {}, {}], max_rows=3, max_row_keys=9, max_field_bytes=99)

    assert [problem.field for problem in caught.value.problems] == ["dataset.1", "dataset.2"]


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="dataset: has 3 rows; at most 2"):
        check_rows([{"q": 1}] * 3, max_rows=2, max_row_keys=9, max_field_bytes=99)


@pytest.mark.parametrize(
    ("rows", "fractions", "expected"),
    [
        (100, (0.7, 0.15, 0.15), (70, 15, 15)),
        (10, (0.7, 0.2, 0.1), (7, 2, 1)),
        (100, (0.29, 0.57, 0.14), (28, 56, 16)),
        (3, (0.5, 0.25, 0.25), (1, 0, 2)),
        (1, (1, 0, 0), (1, 0, 0)),
        (7, (0.8, 0.2, 0), (5, 1, 1)),
    ],
)
def test_splits_follow_the_contracts_rule_to_the_letter(
    rows: int, fractions: tuple[float, float, float], expected: tuple[int, int, int]
) -> None:
    train, val, test = fractions

    counts = split_counts(rows, SplitFractions(train=train, val=val, test=test))

    assert (counts.train, counts.val, counts.test) == expected


@given(rows=st.integers(1, 10_000), parts=st.tuples(*[st.integers(0, 1000)] * 3).filter(any))
def test_splits_always_add_up(rows: int, parts: tuple[int, int, int]) -> None:
    total = sum(parts)
    train, val, test = (part / total for part in parts)

    counts = split_counts(rows, SplitFractions(train=train, val=val, test=test))

    assert counts.train + counts.val + counts.test == rows
    assert min(counts.train, counts.val, counts.test) >= 0
    assert abs(counts.train - rows * train) <= 1


@pytest.mark.parametrize(
    ("counts", "needs_valset", "field"),
    [((0, 1, 2), False, "split_fractions.train"), ((2, 0, 1), True, "split_fractions.val")],
)
def test_a_split_that_must_not_be_empty_is_named(
    counts: tuple[int, int, int],
    needs_valset: bool,  # noqa: FBT001  # a parametrized case
    field: str,
) -> None:
    train, val, test = counts

    with pytest.raises(InvalidRequestError) as caught:
        check_splits(SplitCounts(train=train, val=val, test=test), needs_valset=needs_valset, owner="mine")

    assert [problem.field for problem in caught.value.problems] == [field]


def test_an_empty_valset_is_fine_where_it_is_not_needed() -> None:
    check_splits(SplitCounts(train=2, val=0, test=0), needs_valset=False, owner="mine")
