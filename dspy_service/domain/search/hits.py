"""What a search has found."""

from typing import Annotated

from pydantic import Field

from dspy_service.domain.schema import Schema
from dspy_service.domain.search.documents import Document, Span
from dspy_service.domain.search.query import FusionWeights, Mode


class Hit(Schema):
    """One document, with the piece of it that was found."""

    document: Document
    score: float
    """Higher is better; comparable within one answer only: BM25, cosine, or fused ranks, by mode."""
    snippet: Span
    """The best chunk of the text."""
    highlights: list[Span] = Field(default_factory=list)
    """Words of the query in the snippet, as spans of the text."""


class SearchAnswer(Schema):
    """Hits, best first, and how they came about."""

    hits: list[Hit]
    candidates: Annotated[int, Field(ge=0)]
    """Documents that were ranked; never all that match."""
    mode: Mode
    weights: FusionWeights | None = None
    """What rankings counted; None where there was only one."""
