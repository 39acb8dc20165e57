"""The engines of search under test; another one is one more class here, and a subclass in each file that uses them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dspy_service.adapters.memory.search import MemoryCollections
from dspy_service.adapters.sqlite_search.store import SqliteCollections

Collections = MemoryCollections | SqliteCollections
"""Stores that are retrievers too."""


class CollectionsInMemory:
    @pytest.fixture
    def store(self) -> MemoryCollections:
        return MemoryCollections()


class CollectionsInSqlite:
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteCollections]:
        store = SqliteCollections(tmp_path / "search")
        yield store
        await store.aclose()
