"""Chunks cover a text, are no longer than allowed, and end where a reader would pause."""

from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.search.chunking import CHUNK_CHARS, chunks_of
from dspy_service.domain.search.documents import Document

texts = st.text(st.sampled_from("ab .\n\U0001d518é"), max_size=300)


@given(texts, st.integers(2, 50))
def test_chunks_cover_the_text_in_order(text: str, chunk_chars: int) -> None:
    spans = chunks_of(Document(id="d", title="t", text=text), chunk_chars=chunk_chars)

    assert "".join(text[span.start : span.end] for span in spans) == text
    assert all(span.end - span.start <= chunk_chars for span in spans)
    assert all(span.end > span.start for span in spans) or not text


def test_a_short_text_stays_whole_and_an_empty_one_has_a_chunk_too() -> None:
    short, empty = Document(id="d", text="a" * CHUNK_CHARS), Document(id="d", title="only a title")

    assert [(span.start, span.end) for span in chunks_of(short)] == [(0, CHUNK_CHARS)]
    assert [(span.start, span.end) for span in chunks_of(empty)] == [(0, 0)]


def test_paragraphs_are_kept_before_sentences_and_sentences_before_words() -> None:
    pieces = {
        "One two. Three\n\nfour. Five": ["One two. Three\n\n", "four. Five"],
        "One two three. Four five six": ["One two three. ", "Four five six"],
        "One two three four five six": ["One two three four ", "five six"],
        "Onetwothreefourfivesixseven": ["Onetwothreefourfives", "ixseven"],
    }

    for text, expected in pieces.items():
        spans = chunks_of(Document(id="d", text=text), chunk_chars=20)

        assert [text[span.start : span.end] for span in spans] == expected
