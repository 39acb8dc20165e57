"""The API over adapters in memory, and a client that talks to it in process."""

from collections.abc import AsyncIterator

import httpx
import pytest

from dspy_service.adapters.memory import (
    MemoryArtifactStore,
    MemoryCallLedger,
    MemoryConversationStore,
    MemoryDoorbell,
    MemoryEventStream,
    MemoryJobStore,
    MemoryKeyStore,
    MemoryProgramStore,
    MemoryRateLimiter,
    MemoryRunStore,
)
from dspy_service.app import create_app
from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.catalogue.registry import Registry
from tests.support.signed import SECRET_KEY

ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture
def jobs() -> MemoryJobStore:
    return MemoryJobStore()


@pytest.fixture
def artifacts() -> MemoryArtifactStore:
    return MemoryArtifactStore()


@pytest.fixture
def settings() -> Settings:
    return Settings.model_construct(max_body_bytes=200_000, max_rows=200, sandbox_min_level="L1")


@pytest.fixture
def services(jobs: MemoryJobStore, artifacts: MemoryArtifactStore, settings: Settings) -> Services:
    return Services(
        settings=settings,
        jobs=jobs,
        events=MemoryEventStream(jobs),
        artifacts=artifacts,
        doorbell=MemoryDoorbell(),
        registry=Registry(),
        keys=MemoryKeyStore(),
        rates=MemoryRateLimiter(),
        ledger=MemoryCallLedger(),
        programs=MemoryProgramStore(),
        runs=MemoryRunStore(),
        conversations=MemoryConversationStore(),
        secret_key=SECRET_KEY,
    )


@pytest.fixture
async def client(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as opened:
        yield opened
