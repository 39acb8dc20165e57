"""Collections in a folder: a catalogue of all, and one SQLite file for each."""

import asyncio
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dspy_service.adapters.sqlite_search import reading
from dspy_service.adapters.sqlite_search.file_thread import FileThread, OpenFile
from dspy_service.adapters.sqlite_search.schema import CATALOGUE, COLLECTION
from dspy_service.adapters.sqlite_search.writing import write_batch
from dspy_service.domain.search.collection import Collection, CollectionStats, NewCollection
from dspy_service.domain.search.documents import Batch, BatchResult, Document
from dspy_service.domain.search.errors import CollectionExistsError, CollectionNotFoundError, EmbedderChangedError
from dspy_service.domain.search.hits import SearchAnswer
from dspy_service.domain.search.query import SearchQuery
from dspy_service.domain.search.ranking import plan
from dspy_service.domain.search.vectors import Embedding
from dspy_service.ports.search.collections import CollectionStore
from dspy_service.ports.search.retriever import Retriever

_READERS: Final = 4
_WRITERS: Final = 2
_SUFFIX: Final = ".sqlite"


class SqliteCollections:
    """Any number of processes of one machine may share the folder; it must not be on a network.

    A reader never waits for a writer. A row of the catalogue is written before its file is made, and deleted before its
    file is: a file without a row is garbage.

    Args:
        folder: Made when the first collection is.
        clock: Tells the time.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._clock = clock
        self._catalogue = FileThread("search-catalogue", CATALOGUE)
        self._readers = [FileThread(f"search-reader-{number}", COLLECTION) for number in range(_READERS)]
        self._writers = [FileThread(f"search-writer-{number}", COLLECTION) for number in range(_WRITERS)]

    async def create(self, new: NewCollection) -> Collection:
        """Record an empty collection."""
        made = Collection(**dict(new), collection_id=uuid.uuid4().hex, created_at=self._clock())

        def insert(file: OpenFile) -> None:
            try:
                file.connection.execute(
                    "INSERT INTO collections VALUES (?, ?, ?, ?)",
                    (made.tenant, made.name, made.collection_id, made.model_dump_json()),
                )
            except sqlite3.IntegrityError:
                raise CollectionExistsError(made.name) from None

        await self._catalogue.write(self._catalogue_path, insert)
        return made

    async def collection(self, tenant: str, name: str) -> Collection:
        """Return a collection."""
        found = await self._catalogue.read(
            self._catalogue_path,
            lambda file: file.connection.execute(
                "SELECT record FROM collections WHERE tenant = ? AND name = ?", (tenant, name)
            ).fetchone(),
        )
        if found is None:
            raise CollectionNotFoundError(name)
        return Collection.model_validate_json(found[0])

    async def collections(self, tenant: str) -> list[Collection]:
        """Return all of a tenant's by name."""
        rows = await self._catalogue.read(
            self._catalogue_path,
            lambda file: file.connection.execute(
                "SELECT record FROM collections WHERE tenant = ? ORDER BY name", (tenant,)
            ).fetchall(),
        )
        return [Collection.model_validate_json(row[0]) for row in rows]

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a collection with its documents."""
        gone = await self.collection(tenant, name)
        await self._catalogue.write(
            self._catalogue_path,
            lambda file: (
                file.connection.execute(
                    "DELETE FROM collections WHERE collection_id = ?", (gone.collection_id,)
                ).rowcount
            ),
        )
        path = self._path(gone)
        for thread in (self._reader(gone), self._writer(gone)):
            await thread.close(path)
        await self._sweep()

    async def write(self, tenant: str, name: str, batch: Batch) -> BatchResult:
        """Put documents in and take others out: all of the batch or nothing."""
        collection = await self.collection(tenant, name)
        if batch.upserts and batch.embedder != collection.embedder:
            raise EmbedderChangedError(name, stored=collection.embedder, given=batch.embedder)
        return await self._writer(collection).write(
            self._path(collection), lambda file: write_batch(file.connection, batch)
        )

    async def stats(self, tenant: str, name: str) -> CollectionStats:
        """Count what a collection holds."""
        collection = await self.collection(tenant, name)
        return await self._reader(collection).read(self._path(collection), reading.stats)

    async def search(
        self, tenant: str, name: str, query: SearchQuery, *, embedding: Embedding | None = None
    ) -> SearchAnswer:
        """Return the documents that fit best."""
        collection = await self.collection(tenant, name)
        planned = plan(query, collection, embedding)
        return await self._reader(collection).read(
            self._path(collection), lambda file: reading.search(file, query, planned)
        )

    async def documents(self, tenant: str, name: str, ids: Sequence[str]) -> list[Document]:
        """Return the documents of these ids in this order, without those that are not there."""
        collection = await self.collection(tenant, name)
        return await self._reader(collection).read(self._path(collection), lambda file: reading.documents(file, ids))

    async def aclose(self) -> None:
        """Release files and threads."""
        for thread in (*self._writers, *self._readers, self._catalogue):
            await thread.aclose()

    async def _sweep(self) -> None:
        """Remove files without a row, of this deletion or one that was cut off; files first, so that none is new."""
        files = await asyncio.to_thread(lambda: [*self._folder.glob(f"*{_SUFFIX}*")])
        rows = await self._catalogue.read(
            self._catalogue_path,
            lambda file: file.connection.execute("SELECT collection_id FROM collections").fetchall(),
        )
        kept = {row[0] for row in rows} | {self._catalogue_path.stem}
        for path in files:
            if path.name.partition(".")[0] not in kept:
                await asyncio.to_thread(path.unlink, missing_ok=True)

    @property
    def _catalogue_path(self) -> Path:
        return self._folder / f"catalogue{_SUFFIX}"

    def _path(self, collection: Collection) -> Path:
        return self._folder / f"{collection.collection_id}{_SUFFIX}"

    def _reader(self, collection: Collection) -> FileThread:
        return self._readers[int(collection.collection_id, 16) % _READERS]

    def _writer(self, collection: Collection) -> FileThread:
        return self._writers[int(collection.collection_id, 16) % _WRITERS]


if TYPE_CHECKING:
    _store: CollectionStore = SqliteCollections(Path())
    _retriever: Retriever = SqliteCollections(Path())
