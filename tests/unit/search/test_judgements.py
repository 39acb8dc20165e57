"""What a benchmark holds to be relevant, and how it rates a ranking."""

import math

import pytest

from benchmarks.support.judgements import RARE_PAPERS, judge, ndcg
from benchmarks.support.papers import Paper
from dspy_service.domain.search.documents import Document


def a_paper(number: int, *keywords: str) -> Paper:
    return Paper(Document(id=str(number), text="words"), frozenset(keywords))


def test_papers_that_share_two_rare_keywords_belong_together() -> None:
    papers = [a_paper(1, "a", "b"), a_paper(2, "a", "b", "c"), a_paper(3, "a", "c"), a_paper(4, "a")]

    judged = {each.paper.document.id: each.relevant for each in judge(papers)}

    assert judged == {"1": {"2"}, "2": {"1", "3"}, "3": {"2"}}


def test_a_keyword_of_many_papers_says_nothing() -> None:
    papers = [a_paper(number, "common", "rare" if number < 2 else str(number)) for number in range(RARE_PAPERS + 1)]

    assert judge(papers) == []


@pytest.mark.parametrize(
    ("ranked", "gain"),
    [(["a", "b", "x"], 1.0), (["x", "y"], 0.0), (["x", "a"], 1 / math.log2(3) / (1 + 1 / math.log2(3)))],
    ids=["best", "nothing", "second"],
)
def test_a_gain_is_one_for_the_best_order_and_less_for_others(ranked: list[str], gain: float) -> None:
    assert ndcg(ranked, frozenset({"a", "b"})) == pytest.approx(gain)
