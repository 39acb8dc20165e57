"""Whether the optimized program really is better than the baseline: a paired comparison on the same test rows.

The interval is a percentile bootstrap of the mean paired difference; the p-value is a two-sided sign-flip permutation
test (Efron & Tibshirani, "An Introduction to the Bootstrap", chapters 13 and 15). Both are seeded: equal scores give
equal answers.
"""

import math
import random
from collections.abc import Sequence
from itertools import product
from typing import Literal

from dspy_service.domain.result import Comparison

RESAMPLES = 10_000
ALPHA = 0.05
MAX_EXACT_DIFFERENCES = 12  # 2^12 = 4 096 sign patterns are fewer than the resamples
MAX_DRAWS = 2_000_000  # ~0.4 s in all; above 200 rows the number of resamples falls, to 200 at 10 000 rows and more
MIN_RESAMPLES = 200
_SEED = 20_240_607
_EPSILON = 1e-12  # sums of the same floats in another order


def compare(baseline: Sequence[float], optimized: Sequence[float]) -> Comparison | None:
    """Compare two programs by their scores on the same rows, in the same order; None without rows.

    The verdict asks for both: an interval on one side of zero and a p-value below 0.05.

    Raises:
        ValueError: when the lengths differ or a score is not finite.
    """
    differences = [after - before for before, after in zip(baseline, optimized, strict=True)]
    if not differences:
        return None
    if not all(map(math.isfinite, differences)):
        message = "scores must be finite to be compared"
        raise ValueError(message)
    rows = len(differences)
    low, high = _interval(differences)
    p_value = _sign_flip_p_value(differences)
    return Comparison(
        baseline=math.fsum(baseline) / rows,
        optimized=math.fsum(optimized) / rows,
        difference=math.fsum(differences) / rows,
        interval_low=low,
        interval_high=high,
        p_value=p_value,
        verdict=_verdict(low, high, p_value),
        rows_used=rows,
    )


def _resamples(rows: int) -> int:
    return max(MIN_RESAMPLES, min(RESAMPLES, MAX_DRAWS // rows))


def _interval(differences: Sequence[float]) -> tuple[float, float]:
    rows = len(differences)
    draw = random.Random(_SEED).choices  # noqa: S311  # reproducible statistics
    count = _resamples(rows)
    means = sorted(math.fsum(draw(differences, k=rows)) / rows for _ in range(count))
    tail = int(count * ALPHA / 2)
    return means[tail], means[count - 1 - tail]


def _sign_flip_p_value(differences: Sequence[float]) -> float:
    """Share of sign patterns whose mean is at least as far from zero as the observed one."""
    sizes = [abs(value) for value in differences if value]
    observed = abs(math.fsum(differences)) - _EPSILON
    if not sizes:
        return 1.0
    if len(sizes) <= MAX_EXACT_DIFFERENCES:
        sums = [abs(math.fsum(pattern)) for pattern in product(*((-size, size) for size in sizes))]
        return sum(total >= observed for total in sums) / len(sums)
    bits = random.Random(_SEED).getrandbits  # noqa: S311  # reproducible statistics
    count, total = _resamples(len(sizes)), math.fsum(sizes)
    extreme = sum(abs(total - 2 * _sum_where(bits(len(sizes)), sizes)) >= observed for _ in range(count))
    return (extreme + 1) / (count + 1)  # the observed pattern is one of them, so p is never zero


def _sum_where(mask: int, sizes: Sequence[float]) -> float:
    return sum(size for position, size in enumerate(sizes) if mask >> position & 1)


def _verdict(low: float, high: float, p_value: float) -> Literal["improved", "not_shown", "worse"]:
    if p_value >= ALPHA:
        return "not_shown"
    if low > 0:
        return "improved"
    return "worse" if high < 0 else "not_shown"
