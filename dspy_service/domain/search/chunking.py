"""Long texts in pieces that a vector can stand for, at the ends of paragraphs and sentences."""

import re

from dspy_service.domain.search.documents import Document, Span

CHUNK_CHARS = 2000
"""About 500 tokens of English: nine of ten abstracts stay whole."""

_ENDS = (re.compile(r"\n\s*\n\s*"), re.compile(r"(?<=[.!?])\s+"), re.compile(r"\s+"))
"""Where a piece may end, the best places first."""


def chunks_of(document: Document, *, chunk_chars: int = CHUNK_CHARS) -> list[Span]:
    """Return pieces of at most ``chunk_chars`` characters that cover the text, in order; one at least."""
    text = document.text
    spans, start = [], 0
    while len(text) - start > chunk_chars:
        end = _end_of(text, start, start + chunk_chars)
        spans.append(Span(start=start, end=end))
        start = end
    return [*spans, Span(start=start, end=len(text))] if start < len(text) or not spans else spans


def _end_of(text: str, start: int, latest: int) -> int:
    """Return where the piece ends: the last good place in its second half, else right where it is full."""
    for ends in _ENDS:
        found = [hit.end() for hit in ends.finditer(text, start + (latest - start) // 2, latest)]
        if found:
            return found[-1]
    return latest
