"""Search a collection: embed the query where the mode needs it, then look."""

from dspy_service.domain.search.hits import SearchAnswer
from dspy_service.domain.search.query import SearchQuery
from dspy_service.domain.search.vectors import Embedding
from dspy_service.ports.search.embedder import Embedder
from dspy_service.ports.search.retriever import Retriever


async def find_documents(
    tenant: str, name: str, query: SearchQuery, *, retriever: Retriever, embedder: Embedder | None
) -> SearchAnswer:
    """Return the documents that fit best; errors as ``Retriever.search``."""
    embedding = None
    if embedder is not None and (query.mode != "lexical" or query.diversity > 0):
        (vector,) = await embedder.embed([query.text])
        embedding = Embedding(embedder=embedder.identity, vector=vector)
    return await retriever.search(tenant, name, query, embedding=embedding)
