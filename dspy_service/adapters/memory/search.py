"""Collections in memory: every chunk is looked at, so for thousands of documents and not for more."""

import math
import uuid
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from dspy_service.domain.search.collection import Collection, CollectionStats, NewCollection
from dspy_service.domain.search.documents import (
    RESERVED_FIELDS,
    Batch,
    BatchResult,
    Document,
    IndexedDocument,
    Span,
)
from dspy_service.domain.search.errors import (
    BatchIdReusedError,
    CollectionExistsError,
    CollectionNotFoundError,
    EmbedderChangedError,
    UnknownFilterFieldError,
)
from dspy_service.domain.search.filtering import fields_of
from dspy_service.domain.search.hits import SearchAnswer
from dspy_service.domain.search.query import Filter, Scalar, SearchField, SearchQuery
from dspy_service.domain.search.ranking import Candidate, Plan, answer, plan, rank
from dspy_service.domain.search.vectors import Embedding, Vector
from dspy_service.domain.search.words import all_words, folded
from dspy_service.ports.search.collections import CollectionStore
from dspy_service.ports.search.retriever import Retriever

_SATURATION, _LENGTH = 1.2, 0.75  # Okapi BM25, as FTS5 has them


class _Chunk(NamedTuple):
    document: Document
    span: Span
    vector: Vector | None


@dataclass
class _Held:
    collection: Collection
    documents: dict[str, IndexedDocument] = field(default_factory=dict)
    batches: dict[str, tuple[str, BatchResult]] = field(default_factory=dict)
    revision: int = 0

    def chunks(self) -> Iterator[_Chunk]:
        for each in self.documents.values():
            for place, span in enumerate(each.chunks):
                yield _Chunk(each.document, span, each.vectors[place] if each.vectors is not None else None)

    def fields(self) -> dict[str, set[str]]:
        kinds: dict[str, set[str]] = {name: set() for name in RESERVED_FIELDS}
        for each in self.documents.values():
            for name, value in fields_of(each.document):
                kinds.setdefault(name, set()).add("text" if isinstance(value, str) else "number")
        return kinds


class MemoryCollections:
    """All collections of one process.

    Args:
        clock: Tells the time.
    """

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._held: dict[tuple[str, str], _Held] = {}

    async def create(self, new: NewCollection) -> Collection:
        """Record an empty collection."""
        if (new.tenant, new.name) in self._held:
            raise CollectionExistsError(new.name)
        made = Collection(**dict(new), collection_id=uuid.uuid4().hex, created_at=self._clock())
        self._held[new.tenant, new.name] = _Held(made)
        return made

    async def collection(self, tenant: str, name: str) -> Collection:
        """Return a collection."""
        return self._find(tenant, name).collection

    async def collections(self, tenant: str) -> list[Collection]:
        """Return all of a tenant's by name."""
        return [held.collection for (owner, _), held in sorted(self._held.items()) if owner == tenant]

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a collection with its documents."""
        self._find(tenant, name)
        del self._held[tenant, name]

    async def write(self, tenant: str, name: str, batch: Batch) -> BatchResult:
        """Put documents in and take others out: all of the batch or nothing."""
        held = self._find(tenant, name)
        if batch.upserts and batch.embedder != held.collection.embedder:
            raise EmbedderChangedError(name, stored=held.collection.embedder, given=batch.embedder)
        if batch.id in held.batches:
            digest, result = held.batches[batch.id]
            if digest != batch.digest():
                raise BatchIdReusedError(batch.id)
            return result
        deleted = sum(held.documents.pop(each, None) is not None for each in batch.deletes)
        replaced = sum(each.document.id in held.documents for each in batch.upserts)
        held.documents |= {each.document.id: each for each in batch.upserts}
        result = BatchResult(added=len(batch.upserts) - replaced, replaced=replaced, deleted=deleted)
        held.batches[batch.id] = (batch.digest(), result)
        held.revision += 1
        return result

    async def stats(self, tenant: str, name: str) -> CollectionStats:
        """Count what a collection holds."""
        held = self._find(tenant, name)
        return CollectionStats.model_validate(
            {
                "documents": len(held.documents),
                "chunks": sum(1 for _ in held.chunks()),
                "stored_bytes": sum(
                    len(chunk.document.title) + chunk.span.end - chunk.span.start + len(chunk.vector or b"")
                    for chunk in held.chunks()
                ),
                "revision": held.revision,
                "fields": {name: sorted(kinds) for name, kinds in sorted(held.fields().items())},
            }
        )

    async def search(
        self, tenant: str, name: str, query: SearchQuery, *, embedding: Embedding | None = None
    ) -> SearchAnswer:
        """Return the documents that fit best."""
        held = self._find(tenant, name)
        planned = plan(query, held.collection, embedding)
        known = held.fields()
        for each in query.filters:
            if each.field not in known:
                raise UnknownFilterFieldError(each.field, known)
        chunks = [*held.chunks()]
        passing = [number for number, chunk in enumerate(chunks) if _passes(chunk.document, query.filters)]
        ranked = rank(
            query,
            by_words=_by_words(chunks, passing, planned, query.field),
            by_vectors=_by_vectors(chunks, passing, planned),
            similarity=lambda one, other: _cosine(chunks[one].vector, chunks[other].vector),
        )
        best = [chunks[ranked.chunks[found]] for found, _ in ranked.ids]
        return answer(query, ranked, [(chunk.document, chunk.span) for chunk in best])

    async def documents(self, tenant: str, name: str, ids: Sequence[str]) -> list[Document]:
        """Return the documents of these ids in this order, without those that are not there."""
        held = self._find(tenant, name)
        return [held.documents[each].document for each in ids if each in held.documents]

    async def aclose(self) -> None:
        """Hold nothing open."""

    def _find(self, tenant: str, name: str) -> _Held:
        try:
            return self._held[tenant, name]
        except KeyError:
            raise CollectionNotFoundError(name) from None


def _by_words(chunks: list[_Chunk], passing: list[int], planned: Plan, where: SearchField) -> list[Candidate]:
    if not planned.words:
        return []
    counts = [_count(chunk, where) for chunk in chunks]
    mean = sum(each.total() for each in counts) / len(counts) if counts else 0.0
    scores: defaultdict[int, float] = defaultdict(float)
    for word in {folded(word) for word in planned.words}:
        having = sum(word in each for each in counts)
        rarity = max(1e-6, math.log((len(counts) - having + 0.5) / (having + 0.5)))
        for number in passing:
            if times := counts[number][word]:
                length = 1 - _LENGTH + _LENGTH * counts[number].total() / mean
                scores[number] += rarity * times * (_SATURATION + 1) / (times + _SATURATION * length)
    best = sorted(scores.items(), key=lambda pair: -pair[1])[: planned.depth]
    return [Candidate(chunks[each].document.id, each, score) for each, score in best]


def _by_vectors(chunks: list[_Chunk], passing: list[int], planned: Plan) -> list[Candidate]:
    if planned.vector is None:
        return []
    found = [
        Candidate(chunks[each].document.id, each, _cosine(chunks[each].vector, planned.vector)) for each in passing
    ]
    return sorted(found, key=lambda candidate: -candidate.score)[: planned.depth]


def _count(chunk: _Chunk, where: SearchField) -> Counter[str]:
    texts = {"title": chunk.document.title, "text": chunk.document.text[chunk.span.start : chunk.span.end]}
    looked = texts.values() if where == "any" else [texts[where]]
    return Counter(folded(word) for text in looked for word in all_words(text))


def _cosine(one: Vector | None, other: Vector | None) -> float:
    pairs = zip(array("f", one or b""), array("f", other or b""), strict=True)
    return sum(a * b for a, b in pairs)


def _passes(document: Document, filters: Sequence[Filter]) -> bool:
    return all(
        any(name == each.field and _holds(each, value) for name, value in fields_of(document)) for each in filters
    )


def _holds(each: Filter, value: Scalar) -> bool:
    return (
        (each.any_of is None or value in each.any_of)
        and (each.at_least is None or (_same_kind(value, each.at_least) and value >= each.at_least))  # type: ignore[operator]  # of one kind
        and (each.at_most is None or (_same_kind(value, each.at_most) and value <= each.at_most))  # type: ignore[operator]  # of one kind
    )


def _same_kind(one: Scalar, other: Scalar) -> bool:
    return isinstance(one, str) is isinstance(other, str)


if TYPE_CHECKING:
    _store: CollectionStore = MemoryCollections()
    _retriever: Retriever = MemoryCollections()
