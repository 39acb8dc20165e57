"""Documents are cut, embedded and written; queries are embedded only where a vector is needed."""

import pytest

from dspy_service.adapters.memory.search import MemoryCollections
from dspy_service.domain.search.chunking import CHUNK_CHARS
from dspy_service.domain.search.collection import NewCollection
from dspy_service.domain.search.documents import BatchResult, Document
from dspy_service.domain.search.errors import EmbedderChangedError
from dspy_service.domain.search.query import Mode, SearchQuery
from dspy_service.usecases.search.find_documents import find_documents
from dspy_service.usecases.search.index_documents import index_documents
from tests.support.plane_embedder import PlaneEmbedder
from tests.support.searched import PETS, PLANE


@pytest.fixture
def embedder() -> PlaneEmbedder:
    return PlaneEmbedder()


@pytest.fixture
async def store() -> MemoryCollections:
    store = MemoryCollections()
    await store.create(NewCollection(tenant="local", name="papers", embedder=PLANE))
    return store


async def test_each_chunk_is_embedded_with_its_title(store: MemoryCollections, embedder: PlaneEmbedder) -> None:
    text = "a" * CHUNK_CHARS + "north"
    long = Document(id="long", title="Title", text=text)

    result = await index_documents("local", "papers", [long], batch_id="1", collections=store, embedder=embedder)

    assert result == BatchResult(added=1, replaced=0, deleted=0)
    assert embedder.asked == [f"Title\n{'a' * CHUNK_CHARS}", "Title\nnorth"]
    query = SearchQuery(text="north", mode="dense")
    answer = await find_documents("local", "papers", query, retriever=store, embedder=embedder)
    assert [text[hit.snippet.start :] for hit in answer.hits] == ["north"]


async def test_without_an_embedder_words_are_all(store: MemoryCollections) -> None:
    await store.create(NewCollection(tenant="local", name="words"))

    await index_documents("local", "words", PETS, batch_id="1", collections=store, embedder=None)

    query = SearchQuery(text="cats")
    answer = await find_documents("local", "words", query, retriever=store, embedder=None)
    assert [hit.document.id for hit in answer.hits] == ["cats", "birds"]
    with pytest.raises(EmbedderChangedError):
        await find_documents("local", "words", SearchQuery(text="cats", mode="hybrid"), retriever=store, embedder=None)


@pytest.mark.parametrize(
    ("mode", "diversity", "asked"),
    [("lexical", 0, []), ("lexical", 0.5, ["cats"]), ("dense", 0, ["cats"]), ("hybrid", 0, ["cats"])],
)
async def test_a_query_is_embedded_only_where_a_vector_is_needed(
    store: MemoryCollections, embedder: PlaneEmbedder, mode: Mode, diversity: float, asked: list[str]
) -> None:
    query = SearchQuery(text="cats", mode=mode, diversity=diversity)

    await find_documents("local", "papers", query, retriever=store, embedder=embedder)

    assert embedder.asked == asked
