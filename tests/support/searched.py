"""Documents, batches and vectors for tests of search."""

import struct
from collections.abc import Sequence

from dspy_service.domain.search.chunking import chunks_of
from dspy_service.domain.search.documents import Batch, Document, IndexedDocument
from dspy_service.domain.search.vectors import EmbedderIdentity, Embedding, Vector

PLANE = EmbedderIdentity(name="plane", dimension=2)


def vector(x: float, y: float) -> Vector:
    length = (x * x + y * y) ** 0.5
    return struct.pack("<2f", x / length, y / length)


def towards(x: float, y: float, embedder: EmbedderIdentity = PLANE) -> Embedding:
    return Embedding(embedder=embedder, vector=vector(x, y))


def a_batch(
    batch_id: str,
    *documents: Document,
    deletes: Sequence[str] = (),
    at: Sequence[tuple[float, float]] | None = None,
    embedder: EmbedderIdentity | None = PLANE,
) -> Batch:
    """A batch of whole documents, each with one vector in the plane; without an embedder, with none."""
    places = at or [(1, 0)] * len(documents)
    upserts = [
        IndexedDocument(
            document=document,
            chunks=chunks_of(document, chunk_chars=1_000_000),
            vectors=None if embedder is None else [vector(*place)],
        )
        for document, place in zip(documents, places, strict=True)
    ]
    return Batch(id=batch_id, embedder=embedder if upserts else None, upserts=upserts, deletes=list(deletes))


PETS = (
    Document(id="cats", title="Cats", text="The cats sit on mats.", year=2001, authors=["Ada", "Bo"]),
    Document(id="dogs", title="Dogs", text="Dogs chase a ball.", year=2002, authors=["Bo"], metadata={"lang": "en"}),
    Document(id="birds", title="Birds", text="Birds fly from cats.", metadata={"lang": "fr", "pages": 7}),
)
PLACES = ((1, 0), (0, 1), (3, 4))
