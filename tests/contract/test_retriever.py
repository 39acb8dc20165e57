"""Searches find by words, by vectors and by both, and take nothing of a query for a language."""

import pytest

from dspy_service.domain.search.collection import NewCollection
from dspy_service.domain.search.documents import Batch, Document, IndexedDocument, Span
from dspy_service.domain.search.errors import EmbedderChangedError, EmptyQueryError, UnknownFilterFieldError
from dspy_service.domain.search.hits import SearchAnswer
from dspy_service.domain.search.query import Filter, FusionWeights, SearchQuery
from dspy_service.domain.search.vectors import Embedding
from tests.contract.collection_backends import Collections, CollectionsInMemory, CollectionsInSqlite
from tests.support.searched import PETS, PLACES, PLANE, a_batch, towards, vector


def found(answer: SearchAnswer) -> list[str]:
    return [hit.document.id for hit in answer.hits]


async def search(store: Collections, query: SearchQuery, embedding: Embedding | None = None) -> SearchAnswer:
    return await store.search("local", "papers", query, embedding=embedding)


class RetrieverContract:
    @pytest.fixture
    async def pets(self, store: Collections) -> Collections:
        await store.create(NewCollection(tenant="local", name="papers", embedder=PLANE))
        await store.write("local", "papers", a_batch("1", *PETS, at=PLACES))
        return store

    async def test_words_find_the_documents_that_have_them_the_best_first(self, pets: Collections) -> None:
        answer = await search(pets, SearchQuery(text="cats"))

        assert found(answer) == ["cats", "birds"]
        assert answer.hits[0].score >= answer.hits[1].score
        assert answer.hits[0].document == PETS[0]
        assert (answer.mode, answer.candidates, answer.weights) == ("lexical", 2, None)

    async def test_words_that_were_found_are_marked_in_the_text(self, pets: Collections) -> None:
        answer = await search(pets, SearchQuery(text="CATS mats"))

        text = PETS[0].text
        assert [text[span.start : span.end] for span in answer.hits[0].highlights] == ["cats", "mats"]
        assert answer.hits[0].snippet == Span(start=0, end=len(text))

    async def test_the_snippet_is_the_chunk_that_was_found(self, pets: Collections) -> None:
        long = Document(id="long", text="Nothing here. A walrus there.")
        spans = [Span(start=0, end=14), Span(start=14, end=29)]
        chunked = IndexedDocument(document=long, chunks=spans, vectors=[vector(1, 1), vector(-1, 0)])
        await pets.write("local", "papers", Batch(id="2", embedder=PLANE, upserts=[chunked]))

        by_words = await search(pets, SearchQuery(text="walrus"))
        by_vector = await search(pets, SearchQuery(text="x", mode="dense", limit=1), towards(-1, 0))

        assert [hit.snippet for hit in (*by_words.hits, *by_vector.hits)] == [spans[1], spans[1]]

    async def test_a_document_is_found_once_however_many_chunks_fit(self, pets: Collections) -> None:
        long = Document(id="long", text="walrus walrus")
        spans = [Span(start=0, end=7), Span(start=7, end=13)]
        chunked = IndexedDocument(document=long, chunks=spans, vectors=[vector(-1, 0), vector(-1, 0)])
        await pets.write("local", "papers", Batch(id="2", embedder=PLANE, upserts=[chunked]))

        answer = await search(pets, SearchQuery(text="walrus", mode="hybrid"), towards(-1, 0))

        assert found(answer).count("long") == 1

    @pytest.mark.parametrize(("field", "ids"), [("title", ["birds"]), ("text", ["cats", "birds"])])
    async def test_words_are_looked_for_in_one_field(self, pets: Collections, field: str, ids: list[str]) -> None:
        query = SearchQuery.model_validate({"text": "birds mats" if field == "text" else "birds fly", "field": field})

        assert sorted(found(await search(pets, query))) == sorted(ids)

    async def test_vectors_find_the_nearest_first(self, pets: Collections) -> None:
        answer = await search(pets, SearchQuery(text="anything", mode="dense"), towards(1, 0))

        assert found(answer) == ["cats", "birds", "dogs"]
        assert [hit.score for hit in answer.hits] == pytest.approx([1.0, 0.6, 0.0], abs=1e-6)

    async def test_a_hybrid_search_weighs_both_rankings_and_says_how(self, pets: Collections) -> None:
        query = SearchQuery(text="cats", mode="hybrid")
        led_by_vectors = query.model_copy(update={"weights": FusionWeights(lexical=0.0, dense=1.0)})

        by_default = await search(pets, query, towards(0, 1))
        other = await search(pets, led_by_vectors, towards(0, 1))

        assert found(by_default) == ["cats", "birds", "dogs"]
        assert by_default.weights == FusionWeights(lexical=1.0, dense=0.5)
        assert found(other) == ["dogs", "birds", "cats"]

    async def test_diversity_puts_a_likeness_of_the_best_later(self, pets: Collections) -> None:
        twin = Document(id="twin", text="The cats sit on mats again.")
        await pets.write("local", "papers", a_batch("2", twin, at=[(1, 0.01)]))
        query = SearchQuery(text="x", mode="dense", limit=2)

        alike = await search(pets, query, towards(1, 0))
        varied = await search(pets, query.model_copy(update={"diversity": 0.9}), towards(1, 0))

        assert found(alike) == ["cats", "twin"]
        assert found(varied) == ["cats", "dogs"]

    async def test_the_limit_holds(self, pets: Collections) -> None:
        for mode in ("lexical", "dense", "hybrid"):
            query = SearchQuery(text="cats", mode=mode, limit=1)

            assert found(await search(pets, query, towards(1, 0))) == ["cats"]

    @pytest.mark.parametrize(
        ("wanted", "ids"),
        [
            ([Filter(field="year", at_least=2001, at_most=2001)], ["cats"]),
            ([Filter(field="year", at_least=2001.5)], ["dogs"]),
            ([Filter(field="year", any_of=[2001, 2002])], ["cats", "dogs"]),
            ([Filter(field="authors", any_of=["Bo"])], ["cats", "dogs"]),
            ([Filter(field="authors", any_of=["Bo"]), Filter(field="lang", any_of=["en", "fr"])], ["dogs"]),
            ([Filter(field="lang", at_least="en", at_most="en")], ["dogs"]),
            ([Filter(field="lang", at_least=0)], []),
            ([Filter(field="pages", at_most="z")], []),
            ([Filter(field="pages", any_of=["7"])], []),
            ([Filter(field="lang", any_of=[])], []),
        ],
        ids=range(10),
    )
    async def test_filters_hold_in_every_mode(self, pets: Collections, wanted: list[Filter], ids: list[str]) -> None:
        for mode in ("lexical", "dense", "hybrid"):
            query = SearchQuery(text="cats dogs birds", mode=mode, filters=wanted)

            assert sorted(found(await search(pets, query, towards(1, 0)))) == ids

    async def test_a_filter_on_a_field_that_no_document_has_is_an_error_that_names_those_there_are(
        self, pets: Collections
    ) -> None:
        injected = "x' OR 1=1 --"

        with pytest.raises(UnknownFilterFieldError, match="authors, lang, pages, year") as raised:
            await search(pets, SearchQuery(text="cats", filters=[Filter(field=injected, any_of=["a"])]))

        assert raised.value.field == injected

    @pytest.mark.parametrize("text", ["***", '" ( ) : ^ - + {} ""', "\0", "…—“”"], ids=range(4))
    async def test_a_query_of_signs_only_is_an_error(self, pets: Collections, text: str) -> None:
        with pytest.raises(EmptyQueryError):
            await search(pets, SearchQuery(text=text))

    @pytest.mark.parametrize(
        "text",
        [
            'cats"',
            "title:cats",
            "cats*",
            "cats NEAR(",
            "-cats",
            "NOT cats",
            "^cats",
            "cats AND",
            "(cats OR",
            "{title}: cats",
        ],
        ids=range(10),
    )
    async def test_what_a_query_language_would_read_is_words(self, pets: Collections, text: str) -> None:
        assert sorted(found(await search(pets, SearchQuery(text=text)))) == ["birds", "cats"]

    async def test_accents_and_capitals_make_no_difference(self, pets: Collections) -> None:
        await pets.write("local", "papers", a_batch("2", Document(id="cafe", text="Über das Café")))

        assert found(await search(pets, SearchQuery(text="uber CAFE"))) == ["cafe"]
        assert found(await search(pets, SearchQuery(text="cafe\u0301"))) == ["cafe"]

    async def test_vectors_that_do_not_go_together_are_an_error(self, pets: Collections) -> None:
        await pets.create(NewCollection(tenant="local", name="words"))
        other = PLANE.model_copy(update={"name": "other"})
        dense = SearchQuery(text="cats", mode="dense")

        for name, embedding in (("papers", None), ("papers", towards(1, 0, other)), ("words", towards(1, 0))):
            with pytest.raises(EmbedderChangedError):
                await pets.search("local", name, dense, embedding=embedding)
        assert found(await search(pets, SearchQuery(text="cats"), towards(1, 0, other))) == ["cats", "birds"]

    async def test_an_empty_collection_answers_with_nothing(self, store: Collections) -> None:
        await store.create(NewCollection(tenant="local", name="papers", embedder=PLANE))

        for mode in ("lexical", "dense", "hybrid"):
            answer = await search(store, SearchQuery(text="cats", mode=mode), towards(1, 0))

            assert (answer.hits, answer.candidates) == ([], 0)

    async def test_vectors_follow_replacements_and_deletions(self, pets: Collections) -> None:
        dense = SearchQuery(text="x", mode="dense")
        await search(pets, dense, towards(1, 0))

        await pets.write("local", "papers", a_batch("2", PETS[0], at=[(-1, 0)]))
        moved = await search(pets, dense, towards(1, 0))
        await pets.write("local", "papers", a_batch("3", deletes=["birds"]))
        gone = await search(pets, dense, towards(1, 0))

        assert found(moved) == ["birds", "dogs", "cats"]
        assert found(gone) == ["dogs", "cats"]


class TestMemoryRetriever(CollectionsInMemory, RetrieverContract):
    pass


class TestSqliteRetriever(CollectionsInSqlite, RetrieverContract):
    pass
