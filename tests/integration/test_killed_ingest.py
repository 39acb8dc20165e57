"""A process that is killed in the middle of an ingest loses and doubles nothing that it acknowledged."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from dspy_service.adapters.sqlite_search.store import SqliteCollections
from dspy_service.domain.search.collection import NewCollection
from dspy_service.domain.search.query import SearchQuery
from tests.support.ingesting_child import DOCUMENTS_EACH, document_of, ingest
from tests.support.searched import PLANE, towards

ENDLESS = 1_000_000  # batches: the child is killed long before
MORE = 3


def killed_after(folder: Path, acknowledged: int, *, delay: int) -> int:
    """Start an ingest, kill it some lines of waiting after an acknowledgement, and return how many it gave."""
    arguments = [sys.executable, "-m", "tests.support.ingesting_child", str(folder), "0", str(ENDLESS)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - our own program
        assert child.stdout is not None
        for _ in range(acknowledged):
            assert child.stdout.readline()
        for _ in range(delay):  # so that it dies at another place of a batch each time
            (folder / "catalogue.sqlite").read_bytes()
        child.kill()
        return acknowledged + len(child.stdout.readlines())


@pytest.mark.parametrize(("acknowledged", "delay"), [(1, 0), (3, 20), (7, 60)])
async def test_a_kill_in_the_middle_of_an_ingest_loses_and_doubles_nothing(
    tmp_path: Path, acknowledged: int, delay: int
) -> None:
    folder = tmp_path / "search"
    store = SqliteCollections(folder)
    await store.create(NewCollection(tenant="local", name="papers", embedder=PLANE))

    given = await asyncio.to_thread(killed_after, folder, acknowledged, delay=delay)
    after_kill = await store.stats("local", "papers")
    batches = after_kill.revision + MORE
    await ingest(folder, 0, batches)  # from the beginning: what is there is not written again
    after_repeat = await store.stats("local", "papers")

    assert given <= after_kill.revision <= given + 1
    assert after_kill.documents == after_kill.revision * DOCUMENTS_EACH
    assert (after_repeat.revision, after_repeat.documents) == (batches, batches * DOCUMENTS_EACH)
    assert after_repeat.chunks == after_repeat.documents
    await check_found(store, batches)
    await store.aclose()


async def check_found(store: SqliteCollections, batches: int) -> None:
    everything = [document_of(batch, place) for batch in range(batches) for place in range(DOCUMENTS_EACH)]
    assert await store.documents("local", "papers", [each.id for each in everything]) == everything
    for batch in range(batches):
        answer = await store.search("local", "papers", SearchQuery(text=f"batch{batch}", limit=100))
        assert sorted(hit.document.id for hit in answer.hits) == sorted(
            f"{batch}-{place}" for place in range(DOCUMENTS_EACH)
        )
    dense = SearchQuery(text="walrus", mode="dense", limit=100)
    nearest = await store.search("local", "papers", dense, embedding=towards(1, 0))
    assert len({hit.document.id for hit in nearest.hits}) == 100
