"""Collections and what is written into them."""

from typing import Protocol

from dspy_service.domain.search.collection import Collection, CollectionStats, NewCollection
from dspy_service.domain.search.documents import Batch, BatchResult


class CollectionStore(Protocol):
    """Documents by tenant and collection; every verb is one atomic step.

    All but ``create`` and ``collections`` raise CollectionNotFoundError for a collection that does not exist, or is
    another tenant's. All raise StoreUnavailableError when the storage fails.
    """

    async def create(self, new: NewCollection) -> Collection:
        """Record an empty collection.

        Raises:
            CollectionExistsError: the tenant has one of this name.
        """
        ...

    async def collection(self, tenant: str, name: str) -> Collection:
        """Return a collection."""
        ...

    async def collections(self, tenant: str) -> list[Collection]:
        """Return all of a tenant's by name."""
        ...

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a collection with its documents."""
        ...

    async def write(self, tenant: str, name: str, batch: Batch) -> BatchResult:
        """Put documents in, in place of those of the same ids, and take others out: all of the batch or nothing.

        What has returned survives the end of the process. A batch whose id was written before changes nothing and
        returns what it returned then, so an ingest that was cut off begins again at any earlier batch.

        Raises:
            EmbedderChangedError: its vectors are not of the collection's embedder.
            BatchIdReusedError: the id was used for other changes.
        """
        ...

    async def stats(self, tenant: str, name: str) -> CollectionStats:
        """Count what a collection holds."""
        ...

    async def aclose(self) -> None:
        """Release files and threads."""
        ...
