"""Collections belong to tenants, and take batches of changes wholly, once, or not at all."""

import pytest

from dspy_service.domain.search.collection import NewCollection
from dspy_service.domain.search.documents import BatchResult, Document
from dspy_service.domain.search.errors import (
    BatchIdReusedError,
    CollectionExistsError,
    CollectionNotFoundError,
    EmbedderChangedError,
)
from dspy_service.domain.search.query import SearchQuery
from tests.contract.collection_backends import Collections, CollectionsInMemory, CollectionsInSqlite
from tests.support.searched import PETS, PLANE, a_batch

PAPERS = NewCollection(tenant="local", name="papers", embedder=PLANE)


async def ids(store: Collections, words: str) -> list[str]:
    answer = await store.search("local", "papers", SearchQuery(text=words))
    return [hit.document.id for hit in answer.hits]


class CollectionStoreContract:
    async def test_a_collection_is_found_as_it_was_made(self, store: Collections) -> None:
        made = await store.create(PAPERS)

        assert made == await store.collection("local", "papers")
        assert (made.tenant, made.name, made.embedder) == ("local", "papers", PLANE)

    async def test_a_name_is_taken_once_for_each_tenant(self, store: Collections) -> None:
        await store.create(PAPERS)

        with pytest.raises(CollectionExistsError):
            await store.create(PAPERS)
        other = await store.create(NewCollection(tenant="acme", name="papers"))
        assert [each.collection_id for each in await store.collections("acme")] == [other.collection_id]

    async def test_a_tenants_collections_are_listed_by_name(self, store: Collections) -> None:
        for name in ("b", "a-1", "c", "a"):
            await store.create(NewCollection(tenant="local", name=name))

        assert [each.name for each in await store.collections("local")] == ["a", "a-1", "b", "c"]

    async def test_another_tenants_collection_does_not_exist(self, store: Collections) -> None:
        await store.create(PAPERS)

        for verb in (
            store.collection("acme", "papers"),
            store.delete("acme", "papers"),
            store.write("acme", "papers", a_batch("1", *PETS)),
            store.stats("acme", "papers"),
            store.search("acme", "papers", SearchQuery(text="cats")),
            store.documents("acme", "papers", ["cats"]),
        ):
            with pytest.raises(CollectionNotFoundError):
                await verb

    async def test_a_deleted_collection_is_gone_and_its_name_is_free_for_an_empty_one(self, store: Collections) -> None:
        await store.create(PAPERS)
        await store.write("local", "papers", a_batch("1", *PETS))

        await store.delete("local", "papers")

        with pytest.raises(CollectionNotFoundError):
            await store.stats("local", "papers")
        await store.create(PAPERS)
        assert (await store.stats("local", "papers")).documents == 0
        assert await ids(store, "cats") == []

    async def test_documents_come_back_as_they_were_written(self, store: Collections) -> None:
        await store.create(PAPERS)
        odd = Document(
            id="x/ü", title="", text="a\r\n\u2028 'quoted\" \U0001d518nicode", authors=["O'Neil"], metadata={"n": 0.5}
        )

        await store.write("local", "papers", a_batch("1", *PETS, odd))

        found = await store.documents("local", "papers", ["x/ü", "nothing", "cats"])
        assert found == [odd, PETS[0]]

    async def test_a_document_of_the_same_id_takes_the_place_of_the_old_one(self, store: Collections) -> None:
        await store.create(PAPERS)
        await store.write("local", "papers", a_batch("1", *PETS))

        result = await store.write("local", "papers", a_batch("2", Document(id="cats", text="Now about horses")))

        assert result == BatchResult(added=0, replaced=1, deleted=0)
        assert await ids(store, "mats") == []
        assert await ids(store, "horses") == ["cats"]
        assert (await store.stats("local", "papers")).documents == 3

    async def test_deleted_documents_are_found_no_more_and_absent_ones_are_passed_over(
        self, store: Collections
    ) -> None:
        await store.create(PAPERS)
        await store.write("local", "papers", a_batch("1", *PETS))

        result = await store.write("local", "papers", a_batch("2", deletes=["cats", "nothing"]))

        assert result == BatchResult(added=0, replaced=0, deleted=1)
        assert await ids(store, "cats") == ["birds"]
        assert await store.documents("local", "papers", ["cats"]) == []

    async def test_a_batch_that_comes_again_changes_nothing(self, store: Collections) -> None:
        await store.create(PAPERS)
        first = await store.write("local", "papers", a_batch("1", *PETS))
        await store.write("local", "papers", a_batch("2", deletes=["cats"]))
        before = await store.stats("local", "papers")

        again = await store.write("local", "papers", a_batch("1", *PETS))

        assert again == first == BatchResult(added=3, replaced=0, deleted=0)
        assert await store.stats("local", "papers") == before
        assert await store.documents("local", "papers", ["cats"]) == []

    async def test_the_id_of_a_batch_stands_for_its_changes(self, store: Collections) -> None:
        await store.create(PAPERS)
        await store.write("local", "papers", a_batch("1", *PETS))

        with pytest.raises(BatchIdReusedError):
            await store.write("local", "papers", a_batch("1", deletes=["dogs"]))
        assert (await store.stats("local", "papers")).documents == 3

    async def test_vectors_of_another_embedder_are_refused(self, store: Collections) -> None:
        await store.create(PAPERS)
        await store.create(NewCollection(tenant="local", name="words"))
        other = PLANE.model_copy(update={"name": "other"})

        for name, embedder in (("papers", other), ("papers", None), ("words", PLANE)):
            with pytest.raises(EmbedderChangedError):
                await store.write("local", name, a_batch("1", *PETS, embedder=embedder))

        assert (await store.stats("local", "papers")).documents == 0

    async def test_stats_count_what_is_there(self, store: Collections) -> None:
        await store.create(PAPERS)
        empty = await store.stats("local", "papers")
        await store.write("local", "papers", a_batch("1", *PETS))

        full = await store.stats("local", "papers")

        assert (empty.documents, empty.chunks, empty.revision) == (0, 0, 0)
        assert (full.documents, full.chunks, full.revision) == (3, 3, 1)
        assert full.stored_bytes > 0
        assert full.fields == {"authors": ["text"], "lang": ["text"], "pages": ["number"], "year": ["number"]}


class TestMemoryCollectionStore(CollectionsInMemory, CollectionStoreContract):
    pass


class TestSqliteCollectionStore(CollectionsInSqlite, CollectionStoreContract):
    pass
