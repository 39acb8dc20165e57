"""Documents and batches that cannot be found again are refused with a reason."""

from typing import Any

import pytest
from pydantic import ValidationError

from dspy_service.domain.search.documents import Batch, Document, IndexedDocument, Span
from dspy_service.domain.search.query import Filter
from tests.support.searched import PETS, PLANE, a_batch, vector


def test_an_abstract_is_a_text() -> None:
    assert Document.model_validate({"id": "d", "abstract": "words"}).text == "words"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": "d", "title": " ", "text": "\n"}, "neither a title nor a text"),
        ({"id": "d", "text": "a\0b"}, "NUL character"),
        ({"id": "d", "text": "a", "metadata": {"year": 1}}, "'year', which is a field of its own"),
        ({"id": "two words", "text": "a"}, "pattern"),
        ({"id": "d", "text": "a" * 1_000_001}, "at most 1000000"),
        ({"id": "d", "text": "a", "metadata": {"no name!": 1}}, "pattern"),
    ],
    ids=["empty", "nul", "reserved", "id", "size", "name"],
)
def test_a_bad_document_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Document.model_validate(fields)


def test_a_batch_names_each_document_once() -> None:
    with pytest.raises(ValidationError, match="'cats' twice"):
        a_batch("1", PETS[0], PETS[0])
    with pytest.raises(ValidationError, match="'cats' twice"):
        a_batch("1", PETS[0], deletes=["cats"])


def test_vectors_are_as_many_as_chunks_and_of_the_embedders_dimension() -> None:
    whole = [Span(start=0, end=1)]
    without = IndexedDocument(document=PETS[0], chunks=whole)
    short = IndexedDocument(document=PETS[0], chunks=whole, vectors=[vector(1, 0)[:4]])

    with pytest.raises(ValidationError, match="2 vectors for 1 chunks"):
        IndexedDocument(document=PETS[0], chunks=whole, vectors=[vector(1, 0)] * 2)
    for document, embedder in ((short, PLANE), (without, PLANE), (short, None)):
        with pytest.raises(ValidationError, match="not of the embedder's dimension"):
            Batch(id="1", embedder=embedder, upserts=[document])


def test_a_digest_is_of_the_changes_and_not_of_vectors_or_the_id() -> None:
    here, there = a_batch("1", PETS[0], at=[(1, 0)]), a_batch("2", PETS[0], at=[(0, 1)])

    assert here.digest() == there.digest()
    assert here.digest() != a_batch("1", PETS[1]).digest()


def test_a_filter_asks_something() -> None:
    with pytest.raises(ValidationError, match="needs `any_of`"):
        Filter(field="year")
