"""Which papers belong together, by the keywords of their authors, and how well a ranking knows it."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.support.papers import Paper

RARE_PAPERS = 20
SHARED_KEYWORDS = 2


class Judged(NamedTuple):
    """A paper whose title is a query, and the papers that a search should find."""

    paper: Paper
    relevant: frozenset[str]


def judge(papers: Sequence[Paper]) -> list[Judged]:
    """Return the papers that share two keywords, each of at most twenty papers, with another one."""
    having: defaultdict[str, list[str]] = defaultdict(list)
    for paper in papers:
        for keyword in paper.keywords:
            having[keyword].append(paper.document.id)
    judged = []
    for paper in papers:
        shared = Counter(
            each for keyword in paper.keywords if len(having[keyword]) <= RARE_PAPERS for each in having[keyword]
        )
        relevant = {each for each, count in shared.items() if count >= SHARED_KEYWORDS} - {paper.document.id}
        if relevant:
            judged.append(Judged(paper, frozenset(relevant)))
    return judged


def ndcg(ranked: Sequence[str], relevant: frozenset[str], *, depth: int = 10) -> float:
    """Return the normalised discounted gain of a ranking, 0-1, where a paper is relevant or not."""
    gained = sum(1 / math.log2(place + 1) for place, each in enumerate(ranked[:depth], start=1) if each in relevant)
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(depth, len(relevant)) + 1))
    return gained / ideal
