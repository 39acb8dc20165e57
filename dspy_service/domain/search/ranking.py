"""From rankings of words and of vectors to one: what every engine does the same way."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from dspy_service.domain.search.collection import Collection
from dspy_service.domain.search.diversity import diversify
from dspy_service.domain.search.documents import Document, Span
from dspy_service.domain.search.errors import EmbedderChangedError, EmptyQueryError
from dspy_service.domain.search.fusion import fuse
from dspy_service.domain.search.hits import Hit, SearchAnswer
from dspy_service.domain.search.query import SearchQuery
from dspy_service.domain.search.vectors import Embedding, Vector
from dspy_service.domain.search.words import highlights, words_of

_MIN_DEPTH = 100
_DEPTH_PER_HIT = 5


class Candidate(NamedTuple):
    """A chunk that an engine found, and its document."""

    document_id: str
    chunk: int
    """Of the engine's own numbering."""
    score: float


class Plan(NamedTuple):
    """What an engine has to look up for a query."""

    words: list[str]
    """Empty: no ranking by words."""
    vector: Vector | None
    """None: no ranking by vectors."""
    depth: int
    """Chunks of each ranking."""


def plan(query: SearchQuery, collection: Collection, embedding: Embedding | None) -> Plan:
    """Check a query against a collection, and say what has to be looked up.

    Raises:
        EmptyQueryError: words are needed and there is none.
        EmbedderChangedError: vectors are needed, and those of query and collection do not go together.
    """
    words = words_of(query.text)
    if query.mode != "dense" and not words:
        raise EmptyQueryError
    if query.mode != "lexical" or query.diversity > 0:
        given = embedding.embedder if embedding else None
        if given is None or given != collection.embedder:
            raise EmbedderChangedError(collection.name, stored=collection.embedder, given=given)
    return Plan(
        words=words if query.mode != "dense" else [],
        vector=embedding.vector if embedding and query.mode != "lexical" else None,
        depth=max(_MIN_DEPTH, _DEPTH_PER_HIT * query.limit),
    )


class Ranked(NamedTuple):
    """What is left to look up: documents, best first."""

    ids: list[tuple[str, float]]
    chunks: dict[str, int]
    """The best chunk of each."""
    candidates: int


def rank(
    query: SearchQuery,
    *,
    by_words: Sequence[Candidate],
    by_vectors: Sequence[Candidate],
    similarity: Callable[[int, int], float],
) -> Ranked:
    """Choose documents from what was found.

    Args:
        query: Its mode, weights, diversity and limit.
        by_words: Chunks, best first; empty where the mode asks for none.
        by_vectors: Likewise.
        similarity: Cosine of two chunks; asked only for ``diversity``.
    """
    lexical, dense = _documents(by_words), _documents(by_vectors)
    chunks = {name: candidate.chunk for found in (dense, lexical) for name, candidate in found.items()}
    ranked: list[tuple[str, float]]
    if query.mode == "hybrid":
        ranked = fuse([([*lexical], query.weights.lexical), ([*dense], query.weights.dense)])
    else:
        ranked = [(name, candidate.score) for name, candidate in (lexical or dense).items()]
    chosen = ranked[: query.limit]
    if query.diversity > 0:
        chosen = diversify(
            ranked,
            lambda one, other: similarity(chunks[one], chunks[other]),
            diversity=query.diversity,
            limit=query.limit,
        )
    return Ranked(ids=chosen, chunks=chunks, candidates=len(ranked))


def answer(query: SearchQuery, ranked: Ranked, found: Iterable[tuple[Document, Span]]) -> SearchAnswer:
    """Put the hits together; ``found`` are the ranked documents in order, each with the span of its best chunk."""
    words = words_of(query.text)
    hits = [
        Hit(document=document, score=score, snippet=span, highlights=highlights(document.text, span, words))
        for (document, span), (_, score) in zip(found, ranked.ids, strict=True)
    ]
    weights = query.weights if query.mode == "hybrid" else None
    return SearchAnswer(hits=hits, candidates=ranked.candidates, mode=query.mode, weights=weights)


def _documents(candidates: Sequence[Candidate]) -> dict[str, Candidate]:
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        best.setdefault(candidate.document_id, candidate)
    return best
