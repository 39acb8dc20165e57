"""Fields that filters may name, as (name, value) pairs of one document."""

from collections.abc import Iterator

from dspy_service.domain.search.documents import Document
from dspy_service.domain.search.query import Scalar


def fields_of(document: Document) -> Iterator[tuple[str, Scalar]]:
    """Yield each value under its name; a list yields one pair for each of its values."""
    if document.year is not None:
        yield "year", document.year
    for author in document.authors:
        yield "authors", author
    yield from document.metadata.items()
