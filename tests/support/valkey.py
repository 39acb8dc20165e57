"""Fixtures of a real Valkey server: one for the session, emptied before each test."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio as redis

from dspy_service.adapters.embedded_valkey import EmbeddedValkey


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[EmbeddedValkey]:
    # Not pytest's own folder: a Unix socket's path may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="dspy-"))
    try:
        with EmbeddedValkey.start(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def redis_url(valkey_server: EmbeddedValkey) -> str:
    async with redis.Redis.from_url(valkey_server.url) as client:
        await client.flushall()
    return valkey_server.url


@pytest.fixture
async def raw_redis(redis_url: str) -> AsyncIterator[redis.Redis]:
    async with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
