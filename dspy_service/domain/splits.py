"""How rows are shared between train, val and test: the same rule at submit and in the runner."""

import random
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from dspy_service.domain.result import SplitCounts
from dspy_service.domain.spec import SplitFractions

T = TypeVar("T")


class Split(NamedTuple, Generic[T]):
    """The three parts of a dataset, in DSPy's words."""

    train: list[T]
    val: list[T]
    test: list[T]

    @property
    def counts(self) -> SplitCounts:
        """Rows in each part."""
        return SplitCounts(train=len(self.train), val=len(self.val), test=len(self.test))


def split_counts(rows: int, fractions: SplitFractions) -> SplitCounts:
    """Return how many of ``rows`` each part gets: ``int(n·train)``, ``int(n·val)``, and the rest for ``test``.

    The rule is the contract's to the letter, float noise included: 100 rows at 0.29 are 28.
    """
    train = min(rows, int(rows * fractions.train))
    val = min(rows - train, int(rows * fractions.val))  # fractions may sum to 1 + 1e-6
    return SplitCounts(train=train, val=val, test=rows - train - val)


def split_rows(rows: Sequence[T], fractions: SplitFractions, *, shuffle: bool, seed: int) -> Split[T]:
    """Share ``rows`` between the parts, after ``random.Random(seed).shuffle`` when ``shuffle`` is set.

    The seed steers nothing else: optimizers have their own.
    """
    ordered = list(rows)
    if shuffle:
        random.Random(seed).shuffle(ordered)  # noqa: S311  # a reproducible order, not a secret
    counts = split_counts(len(ordered), fractions)
    train_end, val_end = counts.train, counts.train + counts.val
    return Split(ordered[:train_end], ordered[train_end:val_end], ordered[val_end:])
