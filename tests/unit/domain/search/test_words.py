"""Queries are words, and words are found again in a text."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.search.documents import Span
from dspy_service.domain.search.words import folded, highlights, words_of


def test_words_come_once_without_signs_and_stop_words() -> None:
    assert words_of("The effect of COVID-19: an effect, on cafe\u0301s?") == ["effect", "COVID", "19", "cafés"]


def test_stop_words_count_when_there_is_nothing_else() -> None:
    assert words_of("to be, or not to be") == ["to", "be", "or", "not"]


def test_a_query_has_at_most_64_words() -> None:
    assert len(words_of(" ".join(f"w{number}" for number in range(100)))) == 64


def test_letters_are_folded_as_the_index_folds_them() -> None:
    assert [folded(word) for word in ("CAFÉ", "Straße", "ABC")] == ["cafe", "strasse", "abc"]


def test_forms_of_a_word_are_highlighted_and_others_are_not() -> None:
    text = "Optimized optimizers optimise; a cat, cats, category; contract or control."
    words = ["optimize", "cats", "contracts"]

    found = [text[span.start : span.end] for span in highlights(text, Span(start=0, end=len(text)), words)]

    assert found == ["Optimized", "optimizers", "cats", "contract"]


def test_only_the_snippet_is_looked_at() -> None:
    assert highlights("cats cats cats", Span(start=5, end=9), ["cats"]) == [Span(start=5, end=9)]


@given(st.text(max_size=200))
def test_a_text_that_is_searched_for_itself_is_highlighted_within_its_bounds(text: str) -> None:
    spans = highlights(text, Span(start=0, end=len(text)), words_of(text))

    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= other.start for one, other in itertools.pairwise(spans))
