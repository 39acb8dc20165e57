"""What only the engine in SQLite promises: processes that share a folder, files, stems."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dspy_service.adapters.sqlite_search.store import SqliteCollections
from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError
from dspy_service.domain.search.collection import NewCollection
from dspy_service.domain.search.documents import Document
from dspy_service.domain.search.errors import CollectionNotFoundError
from dspy_service.domain.search.query import SearchQuery
from tests.support.searched import PETS, PLACES, PLANE, a_batch, towards

PAPERS = NewCollection(tenant="local", name="papers", embedder=PLANE)
DENSE = SearchQuery(text="x", mode="dense")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "search"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[SqliteCollections]:
    store = SqliteCollections(folder)
    yield store
    await store.aclose()


@pytest.fixture
async def other(folder: Path) -> AsyncIterator[SqliteCollections]:
    """As another process has the folder open: nothing in memory is shared."""
    other = SqliteCollections(folder)
    yield other
    await other.aclose()


def collection_files(folder: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in folder.iterdir()}


async def found(store: SqliteCollections, query: SearchQuery) -> list[str]:
    answer = await store.search("local", "papers", query, embedding=towards(1, 0))
    return [hit.document.id for hit in answer.hits]


async def test_what_another_process_writes_is_found_at_once(store: SqliteCollections, other: SqliteCollections) -> None:
    await store.create(PAPERS)
    await store.write("local", "papers", a_batch("1", *PETS[:2], at=PLACES[:2]))
    before = await found(store, DENSE)

    await other.write("local", "papers", a_batch("2", PETS[2], deletes=["dogs"], at=PLACES[2:]))

    assert before == ["cats", "dogs"]
    assert await found(store, DENSE) == ["cats", "birds"]
    assert await found(store, SearchQuery(text="cats")) == ["cats", "birds"]


async def test_what_another_process_deletes_and_makes_anew_is_the_new_one(
    store: SqliteCollections, other: SqliteCollections
) -> None:
    await store.create(PAPERS)
    await store.write("local", "papers", a_batch("1", *PETS, at=PLACES))
    await found(store, DENSE)

    await other.delete("local", "papers")
    with pytest.raises(CollectionNotFoundError):
        await found(store, DENSE)
    await other.create(PAPERS)
    await store.write("local", "papers", a_batch("1", PETS[1]))

    assert await found(store, DENSE) == ["dogs"]


async def test_processes_that_open_a_new_folder_at_once_wait_for_each_other(folder: Path) -> None:
    stores = [SqliteCollections(folder) for _ in range(8)]

    made = await asyncio.gather(
        *(store.create(NewCollection(tenant="local", name=f"c{number}")) for number, store in enumerate(stores))
    )
    written = await asyncio.gather(
        *(store.write("local", "c0", a_batch(str(each), *PETS, embedder=None)) for each, store in enumerate(stores))
    )

    assert await stores[0].collections("local") == made
    assert sorted(result.added for result in written) == [0] * 7 + [3]
    assert (await stores[0].stats("local", "c0")).revision == len(stores)
    for store in stores:
        await store.aclose()


async def test_documents_outlive_the_store(store: SqliteCollections, folder: Path) -> None:
    await store.create(PAPERS)
    await store.write("local", "papers", a_batch("1", *PETS, at=PLACES))
    await store.aclose()

    reopened = SqliteCollections(folder)

    assert await found(reopened, DENSE) == ["cats", "birds", "dogs"]
    await reopened.aclose()


async def test_a_deletion_removes_its_files_and_those_that_an_earlier_one_left(
    store: SqliteCollections, folder: Path
) -> None:
    await store.create(PAPERS)
    await store.create(NewCollection(tenant="acme", name="papers"))
    await store.write("acme", "papers", a_batch("1", *PETS, embedder=None))
    await store.write("local", "papers", a_batch("1", *PETS))
    (folder / "0123456789abcdef0123456789abcdef.sqlite").touch()

    await store.delete("local", "papers")

    kept = await store.collection("acme", "papers")
    assert collection_files(folder) == {"catalogue", kept.collection_id}
    assert (await store.stats("acme", "papers")).documents == 3


async def test_forms_of_a_word_find_each_other(store: SqliteCollections) -> None:
    await store.create(PAPERS)
    document = Document(id="d", text="Optimizing retrievers")
    await store.write("local", "papers", a_batch("1", document))

    answer = await store.search("local", "papers", SearchQuery(text="optimize retriever"))

    (hit,) = answer.hits
    assert [document.text[span.start : span.end] for span in hit.highlights] == ["Optimizing", "retrievers"]


async def test_more_collections_than_stay_open_keep_their_documents(store: SqliteCollections) -> None:
    names = [f"c{number}" for number in range(80)]
    for name in names:
        await store.create(NewCollection(tenant="local", name=name))
        await store.write("local", name, a_batch("1", *PETS, embedder=None))

    counts = [(await store.stats("local", name)).documents for name in names]

    assert counts == [3] * len(names)
    assert all(len(each._files) <= 16 for each in (*store._readers, *store._writers))


async def test_a_file_of_a_newer_release_is_left_alone(store: SqliteCollections, folder: Path) -> None:
    made = await store.create(PAPERS)
    with sqlite3.connect(folder / f"{made.collection_id}.sqlite") as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()

    with pytest.raises(ConfigurationError, match="newer release"):
        await store.stats("local", "papers")


async def test_a_file_that_is_no_database_is_an_outage_and_not_an_empty_collection(
    store: SqliteCollections, folder: Path
) -> None:
    made = await store.create(PAPERS)
    (folder / f"{made.collection_id}.sqlite").write_bytes(b"not a database, and long enough to be read as one" * 40)

    with pytest.raises(StoreUnavailableError, match="not a database"):
        await store.stats("local", "papers")


async def test_replaced_and_deleted_documents_leave_nothing_in_the_file(store: SqliteCollections, folder: Path) -> None:
    made = await store.create(PAPERS)
    await store.write("local", "papers", a_batch("1", *PETS))
    await store.write("local", "papers", a_batch("2", Document(id="cats", text="Horses"), deletes=["dogs"]))

    raw = sqlite3.connect(folder / f"{made.collection_id}.sqlite")

    raw.execute("INSERT INTO words(words, rank) VALUES ('integrity-check', 1)")  # raises where index and texts differ
    for table, column in (("vectors", "chunk"), ("fields", "document"), ("chunks", "number"), ("documents", "number")):
        assert raw.execute(f"SELECT count(DISTINCT {column}) FROM {table}").fetchone() == (  # noqa: S608 - our names
            (1 if table == "fields" else 2),  # the horses have no field
        )
    raw.close()


async def test_a_batch_that_fails_in_the_middle_leaves_nothing(store: SqliteCollections, folder: Path) -> None:
    made = await store.create(PAPERS)
    await store.stats("local", "papers")
    with sqlite3.connect(folder / f"{made.collection_id}.sqlite") as raw:
        raw.execute(
            "CREATE TRIGGER full BEFORE INSERT ON documents WHEN NEW.id = 'birds' BEGIN SELECT RAISE(FAIL, 'full'); END"
        )
    raw.close()

    with pytest.raises(StoreUnavailableError):
        await store.write("local", "papers", a_batch("1", *PETS))

    assert (await store.stats("local", "papers")).documents == 0
    assert await found(store, SearchQuery(text="cats")) == []
