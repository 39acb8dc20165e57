"""Maximal marginal relevance: what resembles a better hit comes later."""

from collections.abc import Callable, Sequence


def diversify(
    ranked: Sequence[tuple[str, float]], similarity: Callable[[str, str], float], *, diversity: float, limit: int
) -> list[tuple[str, float]]:
    """Return ``limit`` of the ranked, reordered; their scores stay.

    Carbonell and Goldstein, "The Use of MMR", SIGIR 1998, with relevance scaled to 0-1 over the ranking.

    Args:
        ranked: Ids and scores, best first.
        similarity: Of two ids, about 0-1; asked at most ``limit`` times the number of candidates.
        diversity: 0: the order stays; 1: only difference counts, after the best one.
        limit: How many.
    """
    left = dict(ranked)
    best, worst = (ranked[0][1], ranked[-1][1]) if ranked else (0.0, 0.0)
    width = best - worst or 1.0
    likest = dict.fromkeys(left, 0.0)
    chosen: list[tuple[str, float]] = []
    while left and len(chosen) < limit:
        # max() keeps the first of equals, and dicts keep the order of the ranking
        name = max(left, key=lambda each: (1 - diversity) * (left[each] - worst) / width - diversity * likest[each])
        chosen.append((name, left.pop(name)))
        for each in left:
            likest[each] = max(likest[each], similarity(name, each))
    return chosen
