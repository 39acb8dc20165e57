"""Laws of the paired comparison, and verdicts that a statistician would give."""

import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_service.domain.comparison import compare

SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=40)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    before = draw(SCORES)
    return before, [draw(st.sampled_from([0.0, 0.5, 1.0])) for _ in before]


@settings(max_examples=40, deadline=None)
@given(both=pairs())
def test_the_figures_are_those_of_the_rows(both: tuple[list[float], list[float]]) -> None:
    before, after = both

    comparison = compare(before, after)

    assert comparison is not None
    assert comparison.difference == pytest.approx(comparison.optimized - comparison.baseline)
    assert comparison.interval_low <= comparison.difference + 1e-9
    assert comparison.interval_high >= comparison.difference - 1e-9
    assert 0 < comparison.p_value <= 1
    assert comparison.rows_used == len(before)


@settings(max_examples=40, deadline=None)
@given(both=pairs())
def test_swapping_the_programs_mirrors_the_answer(both: tuple[list[float], list[float]]) -> None:
    there, back = compare(*both), compare(both[1], both[0])

    assert there is not None
    assert back is not None
    mirrored = {"improved": "worse", "worse": "improved", "not_shown": "not_shown"}
    assert back.verdict == mirrored[there.verdict]
    assert back.difference == pytest.approx(-there.difference)
    assert back.interval_low == pytest.approx(-there.interval_high)
    assert back.p_value == pytest.approx(there.p_value)


@settings(max_examples=20, deadline=None)
@given(both=pairs())
def test_the_same_scores_give_the_same_answer(both: tuple[list[float], list[float]]) -> None:
    assert compare(*both) == compare(*both)


@given(scores=SCORES)
@settings(max_examples=20, deadline=None)
def test_no_change_is_never_shown_as_one(scores: list[float]) -> None:
    comparison = compare(scores, scores)

    assert comparison is not None
    assert (comparison.p_value, comparison.verdict) == (1.0, "not_shown")


def test_six_rows_that_all_improve_are_shown_to_improve() -> None:
    comparison = compare([0.0] * 6, [1.0] * 6)

    assert comparison is not None
    assert comparison.p_value == pytest.approx(2 / 2**6)
    assert comparison.verdict == "improved"


def test_five_rows_are_too_few_to_show_anything() -> None:
    comparison = compare([0.0] * 5, [1.0] * 5)

    assert comparison is not None
    assert comparison.verdict == "not_shown"


def test_a_loss_on_many_rows_is_worse() -> None:
    before = [1.0] * 30
    after = [0.0] * 15 + [1.0] * 15

    comparison = compare(before, after)

    assert comparison is not None
    assert comparison.verdict == "worse"


def test_no_rows_give_no_comparison() -> None:
    assert compare([], []) is None


def test_programs_must_be_scored_on_the_same_rows() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare([1.0, 0.0], [1.0])


def test_scores_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        compare([0.0], [math.inf])


def test_ten_thousand_rows_are_compared_in_a_moment() -> None:
    draw = random.Random(5)  # noqa: S311  # made-up scores
    before = [float(draw.random() < 0.5) for _ in range(10_000)]
    after = [float(draw.random() < 0.55) for _ in range(10_000)]
    started = time.process_time()

    comparison = compare(before, after)

    assert time.process_time() - started < 3
    assert comparison is not None
    assert comparison.verdict == "improved"
