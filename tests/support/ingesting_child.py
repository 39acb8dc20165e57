"""A process that writes numbered batches into a collection, and prints each number once it is acknowledged."""

import asyncio
import sys
from pathlib import Path

from dspy_service.adapters.sqlite_search.store import SqliteCollections
from dspy_service.domain.search.documents import Document
from tests.support.searched import a_batch

DOCUMENTS_EACH = 40


def document_of(batch: int, place: int) -> Document:
    return Document(
        id=f"{batch}-{place}", title=f"Batch {batch}", text=f"document number{place} of batch{batch} walrus"
    )


async def ingest(folder: Path, first: int, count: int) -> None:
    store = SqliteCollections(folder)
    for batch in range(first, first + count):
        documents = [document_of(batch, place) for place in range(DOCUMENTS_EACH)]
        await store.write("local", "papers", a_batch(str(batch), *documents))
        print(batch, flush=True)  # noqa: T201 - read by the test
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(ingest(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
