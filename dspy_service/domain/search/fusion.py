"""Rankings made one, by the places that they give: scores of two kinds have no common scale."""

from collections import defaultdict
from collections.abc import Sequence

RANK_CONSTANT = 60  # Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion", SIGIR 2009


def fuse(rankings: Sequence[tuple[Sequence[str], float]]) -> list[tuple[str, float]]:
    """Return ids with the sum of ``weight / (60 + place)``, best first, equals in the order of their ids.

    Args:
        rankings: Ids, each once and the best first, with the weight of the ranking; one of weight 0 adds nothing.
    """
    scores: defaultdict[str, float] = defaultdict(float)
    for ids, weight in rankings:
        if weight > 0:
            for place, each in enumerate(ids, start=1):
                scores[each] += weight / (RANK_CONSTANT + place)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
