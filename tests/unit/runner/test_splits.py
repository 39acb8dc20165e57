"""Laws of the split: nothing lost, nothing doubled, the same for the same seed."""

import random

from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.spec import SplitFractions
from dspy_service.domain.splits import split_counts, split_rows

ROWS = st.integers(min_value=0, max_value=5000)


@st.composite
def fractions(draw: st.DrawFn) -> SplitFractions:
    train = draw(st.floats(min_value=0, max_value=1))
    val = draw(st.floats(min_value=0, max_value=1 - train))
    return SplitFractions(train=train, val=val, test=max(0.0, 1 - train - val))


@given(rows=ROWS, shares=fractions())
def test_every_row_is_in_exactly_one_part(rows: int, shares: SplitFractions) -> None:
    split = split_rows(range(rows), shares, shuffle=True, seed=3)

    assert sorted([*split.train, *split.val, *split.test]) == list(range(rows))
    assert split.counts == split_counts(rows, shares)


@given(rows=ROWS, percent=st.tuples(st.integers(0, 100), st.integers(0, 100)).filter(lambda pair: sum(pair) <= 100))
def test_counts_are_the_documented_rule_to_the_letter(rows: int, percent: tuple[int, int]) -> None:
    train, val = (share / 100 for share in percent)

    counts = split_counts(rows, SplitFractions(train=train, val=val, test=1 - train - val if sum(percent) < 100 else 0))

    assert (counts.train, counts.val) == (int(rows * train), int(rows * val))
    assert counts.test == rows - counts.train - counts.val


@given(seed=st.integers(min_value=0, max_value=2**32 - 1))
def test_the_seed_alone_decides_the_order(seed: int) -> None:
    order = list(range(50))
    random.Random(seed).shuffle(order)  # noqa: S311  # the documented order

    split = split_rows(range(50), SplitFractions(train=0.5, val=0.25, test=0.25), shuffle=True, seed=seed)

    assert [*split.train, *split.val, *split.test] == order


def test_without_shuffle_rows_keep_their_order() -> None:
    split = split_rows("abcdefghij", SplitFractions(train=0.5, val=0.2, test=0.3), shuffle=False, seed=1)

    assert split == (list("abcde"), list("fg"), list("hij"))


def test_fractions_that_sum_to_a_little_more_than_one_take_no_row_twice() -> None:
    counts = split_counts(4_000_000, SplitFractions(train=0.5, val=0.5000009, test=0.0))

    assert (counts.train, counts.val, counts.test) == (2_000_000, 2_000_000, 0)
