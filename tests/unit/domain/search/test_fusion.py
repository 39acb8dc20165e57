"""Rankings are fused by places alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.search.fusion import fuse

rankings = st.lists(st.text("abcdef", min_size=1, max_size=1), unique=True)
weights = st.floats(0.01, 1)


def test_scores_are_the_weighted_reciprocal_ranks() -> None:
    fused = fuse([(["a", "b"], 1.0), (["b"], 0.5)])

    assert fused == [("b", pytest.approx(1 / 62 + 0.5 / 61)), ("a", pytest.approx(1 / 61))]


@given(rankings, weights)
def test_one_ranking_stays_as_it_is(ids: list[str], weight: float) -> None:
    assert [name for name, _ in fuse([(ids, weight)])] == ids


@given(rankings, rankings, weights)
def test_a_ranking_of_no_weight_changes_nothing(ids: list[str], other: list[str], weight: float) -> None:
    assert fuse([(ids, weight), (other, 0.0)]) == fuse([(ids, weight)])


@given(rankings, rankings, weights, weights)
def test_every_id_comes_once_and_the_best_first(one: list[str], other: list[str], a: float, b: float) -> None:
    fused = fuse([(one, a), (other, b)])

    assert sorted(name for name, _ in fused) == sorted({*one, *other})
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


@given(rankings, rankings, weights, weights)
def test_the_order_of_the_rankings_makes_no_difference(one: list[str], other: list[str], a: float, b: float) -> None:
    forwards, backwards = fuse([(one, a), (other, b)]), fuse([(other, b), (one, a)])

    assert forwards == backwards


@given(rankings, rankings, weights, weights)
def test_what_both_rankings_put_first_is_first(one: list[str], other: list[str], a: float, b: float) -> None:
    best = "best"

    assert fuse([([best, *one], a), ([best, *other], b)])[0][0] == best
