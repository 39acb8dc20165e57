"""The composition root: which adapter stands behind which port."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dspy_service.adapters.celery_doorbell import CeleryDoorbell
from dspy_service.adapters.folder_artifacts import FolderArtifactStore
from dspy_service.adapters.obstore_artifacts import ObstoreArtifactStore
from dspy_service.adapters.redis.call_ledger import RedisCallLedger
from dspy_service.adapters.redis.conversations import RedisConversationStore
from dspy_service.adapters.redis.event_stream import RedisEventStream
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.adapters.redis.keys import RedisKeyStore
from dspy_service.adapters.redis.programs import RedisProgramStore
from dspy_service.adapters.redis.rates import RedisRateLimiter
from dspy_service.adapters.redis.runs import RedisRunStore
from dspy_service.adapters.registry_loader import load_registry
from dspy_service.adapters.run_record import RECORD_SECONDS, RunTimes
from dspy_service.adapters.secret_key import load_secret_key
from dspy_service.config import Settings
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.errors import ConfigurationError
from dspy_service.ports import ArtifactStore, CallLedger, Doorbell, EventStream, JobStore, KeyStore, RateLimiter
from dspy_service.ports.serving.conversations import ConversationStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.ports.serving.runs import RunStore


@dataclass(frozen=True)
class Services:
    """Everything that a role of the service works with. Belongs to the event loop that first uses it."""

    settings: Settings
    jobs: JobStore
    events: EventStream
    keys: KeyStore
    rates: RateLimiter
    ledger: CallLedger
    programs: ProgramStore
    runs: RunStore
    conversations: ConversationStore
    artifacts: ArtifactStore
    doorbell: Doorbell
    registry: Registry
    secret_key: bytes = field(repr=False)
    """Signs artifacts; the pepper of API keys."""

    async def stop_watching(self) -> None:
        """End every watch of a job's events or a run's; their readers resume elsewhere."""
        await self.events.aclose()
        await self.runs.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self.events.aclose()
        await self.doorbell.aclose()
        await self.conversations.aclose()
        await self.runs.aclose()
        await self.programs.aclose()
        await self.ledger.aclose()
        await self.rates.aclose()
        await self.keys.aclose()
        await self.jobs.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()


def open_services(settings: Settings) -> Services:
    """Wire the adapters that the settings name. Nothing connects before its first use.

    Raises:
        ConfigurationError: a setting cannot work.
    """
    if not settings.redis_url:
        message = (
            "DSPY_SERVICE_REDIS_URL is empty: `dspy-service up` brings its own store, "
            "a single role needs the address of a Redis or Valkey."
        )
        raise ConfigurationError(message)
    return Services(
        settings=settings,
        jobs=RedisJobStore(settings.redis_url),
        events=RedisEventStream(settings.redis_url),
        keys=RedisKeyStore(settings.redis_url),
        rates=RedisRateLimiter(settings.redis_url),
        ledger=RedisCallLedger(settings.redis_url),
        programs=RedisProgramStore(settings.redis_url),
        runs=RedisRunStore(settings.redis_url, _run_times(settings)),
        conversations=RedisConversationStore(settings.redis_url),
        artifacts=_artifacts(settings.artifacts_url),
        doorbell=CeleryDoorbell(settings.redis_url),
        registry=load_registry(settings.registry),
        secret_key=load_secret_key(settings),
    )


def _run_times(settings: Settings) -> RunTimes:
    return RunTimes(
        log_seconds=settings.run_retention_seconds,
        record_seconds=max(RECORD_SECONDS, settings.run_retention_seconds),
        grace_seconds=settings.disconnect_grace_seconds,
        usage_seconds=settings.usage_retention_days * 86_400,
    )


def _artifacts(url: str) -> ArtifactStore:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme == "file":
        return FolderArtifactStore(Path(url.removeprefix("file://")))
    return ObstoreArtifactStore.at(url)
