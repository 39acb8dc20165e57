"""Put documents into a collection: cut, embed, write."""

from collections.abc import Sequence

from dspy_service.domain.search.chunking import chunks_of
from dspy_service.domain.search.documents import Batch, BatchResult, Document, IndexedDocument, Span
from dspy_service.domain.search.vectors import Vector
from dspy_service.ports.search.collections import CollectionStore
from dspy_service.ports.search.embedder import Embedder


async def index_documents(
    tenant: str,
    name: str,
    documents: Sequence[Document],
    *,
    batch_id: str,
    collections: CollectionStore,
    embedder: Embedder | None,
) -> BatchResult:
    """Write one batch; what has been embedded but not written is lost, so batches should take seconds, not minutes.

    The store says whether the embedder is the collection's: only it knows at the moment of writing.

    Raises:
        CollectionNotFoundError: it is not there, or another tenant's.
        EmbedderChangedError: the collection has another embedder.
        BatchIdReusedError: the id stands for other documents.
    """
    pieces = [(document, chunks_of(document)) for document in documents]
    vectors: list[Vector] = []
    if embedder is not None:
        vectors = await embedder.embed([_told(document, span) for document, spans in pieces for span in spans])
    left = iter(vectors)
    upserts = [
        IndexedDocument(
            document=document,
            chunks=spans,
            vectors=[next(left) for _ in spans] if embedder is not None else None,
        )
        for document, spans in pieces
    ]
    batch = Batch(id=batch_id, embedder=embedder.identity if embedder is not None else None, upserts=upserts)
    return await collections.write(tenant, name, batch)


def _told(document: Document, span: Span) -> str:
    """Return what a chunk's vector stands for: without its title, a later chunk does not say what it is about."""
    return f"{document.title}\n{document.text[span.start : span.end]}".strip()
