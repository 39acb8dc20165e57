"""Finding documents."""

from collections.abc import Sequence
from typing import Protocol

from dspy_service.domain.search.documents import Document
from dspy_service.domain.search.hits import SearchAnswer
from dspy_service.domain.search.query import SearchQuery
from dspy_service.domain.search.vectors import Embedding


class Retriever(Protocol):
    """Searches of one tenant's collection; all raise CollectionNotFoundError as ``CollectionStore`` does."""

    async def search(
        self, tenant: str, name: str, query: SearchQuery, *, embedding: Embedding | None = None
    ) -> SearchAnswer:
        """Return the documents that fit best, each once, as one committed batch after another has left them.

        Args:
            tenant: Whose collection.
            name: Its name.
            query: Its text is words and nothing else: signs of any query language count as blanks.
            embedding: Of the query; needed for ``dense`` and ``hybrid``, and for ``diversity``.

        Raises:
            EmptyQueryError: a lexical or hybrid query without a word.
            UnknownFilterFieldError: no document has a field that a filter names.
            EmbedderChangedError: the embedding is missing where it is needed, or not of the collection's embedder.
        """
        ...

    async def documents(self, tenant: str, name: str, ids: Sequence[str]) -> list[Document]:
        """Return the documents of these ids in this order, without those that are not there."""
        ...
