"""Hits that resemble better ones come later, and none is lost or doubled."""

from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.search.diversity import diversify

rankings = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.floats(0, 1)).map(
    lambda scores: sorted(scores.items(), key=lambda pair: -pair[1])
)
shares = st.floats(0, 1)


def of_one_letter(one: str, other: str) -> float:
    return 1.0 if one[0] == other[0] else 0.0


@given(rankings)
def test_without_diversity_the_order_stays(ranked: list[tuple[str, float]]) -> None:
    assert diversify(ranked, of_one_letter, diversity=0, limit=len(ranked)) == ranked


@given(rankings, shares)
def test_the_best_stays_first_and_every_hit_comes_once(ranked: list[tuple[str, float]], diversity: float) -> None:
    varied = diversify(ranked, of_one_letter, diversity=diversity, limit=len(ranked))

    assert sorted(varied) == sorted(ranked)
    assert [name for name, _ in varied[:1]] == [name for name, _ in ranked[:1]] or diversity == 1


@given(rankings, shares, st.integers(1, 5))
def test_the_limit_holds(ranked: list[tuple[str, float]], diversity: float, limit: int) -> None:
    assert len(diversify(ranked, of_one_letter, diversity=diversity, limit=limit)) == min(limit, len(ranked))


def test_with_full_diversity_what_is_alike_comes_last() -> None:
    ranked = [("a1", 1.0), ("a2", 0.9), ("b1", 0.1), ("a3", 0.05)]

    varied = diversify(ranked, of_one_letter, diversity=1, limit=4)

    assert [name for name, _ in varied] == ["a1", "b1", "a2", "a3"]
