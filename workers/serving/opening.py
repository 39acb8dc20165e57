"""The composition root of a serving process: what its event loop stands between, opened on that loop."""

import gc
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime

from dspy_service.adapters.redis.cache import RedisResponseCache
from dspy_service.adapters.redis.throttle import RedisCallThrottle
from dspy_service.bootstrap import Services, open_services
from dspy_service.config import Settings
from dspy_service.domain.artifact_paths import PROGRAM_STATE
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run, RunOutcome
from dspy_service.domain.serving.run_events import RunFact
from dspy_service.usecases.serving.recall import recall
from dspy_service.usecases.serving.record_answer import record_answer
from dspy_service.usecases.serving.version_files import read_version_files
from workers.bootstrap import Parent
from workers.lm.registry import ModelRegistry
from workers.serving.answer_cache import AnswerCache
from workers.serving.engine import StreamLimits
from workers.serving.hosting.opening import open_hosting
from workers.serving.loop import LoopRules
from workers.serving.models import ServedModels
from workers.serving.plain_programs import PlainPrograms, ReadState
from workers.serving.produce import Producer
from workers.serving.session import OnEnd, Produce
from workers.serving.warming import warm
from workers.serving.worker import ServingDoor, ServingWorker


def open_serving_worker(parent: Parent) -> ServingWorker:
    """Return the serving worker of this pool child; it connects when it is started."""
    settings = parent.settings

    @asynccontextmanager
    async def door() -> AsyncIterator[ServingDoor]:
        async with AsyncExitStack() as stack:
            services = await stack.enter_async_context(open_services(settings))
            throttle = await stack.enter_async_context(aclosing(RedisCallThrottle(settings.redis_url)))
            cache = await _cache(settings, stack)
            models = ServedModels(_registry(parent, services), _limits(settings), throttle=throttle)
            producer = Producer(
                store=services.programs,
                programs=PlainPrograms(_reader(services)),
                models=models,
                cache=cache,
                hosting=open_hosting(parent, services),
            )
            await stack.enter_async_context(aclosing(producer))
            await warm(models)
            gc.collect()
            gc.freeze()  # DSPy and all it brings: a collection that walked them would hold up every stream
            yield ServingDoor(services.runs, _recalling(producer, services), _recorder(services))

    owner = f"{parent.worker_id}/{os.getpid()}:{time.time_ns() // 1_000_000}/serving"
    parent.serving_roster.sign_in(owner)
    return ServingWorker(
        door,
        owner=owner,
        rules=LoopRules(
            capacity=settings.serving_concurrency,
            lease_seconds=settings.run_lease_seconds,
            drain_seconds=settings.serving_drain_seconds,
        ),
        notice=parent.notice,
    )


def _recalling(producer: Producer, services: Services) -> Produce:
    """Return the producer that tells a run first what was said before in its conversation."""

    async def produce(run: Run) -> AsyncGenerator[list[RunFact], None]:
        remembering = await recall(
            run,
            now=datetime.now(UTC),
            runs=services.runs,
            conversations=services.conversations,
            programs=services.programs,
        )
        async with aclosing(producer.produce(remembering)) as told:
            async for facts in told:
                yield facts

    return produce


def _recorder(services: Services) -> OnEnd:
    """Return what writes a run's answer into its conversation."""

    async def record(run: Run, outcome: RunOutcome, facts: Sequence[RunFact]) -> None:
        await record_answer(
            run,
            outcome,
            facts,
            runs=services.runs,
            conversations=services.conversations,
            programs=services.programs,
        )

    return record


def _limits(settings: Settings) -> StreamLimits:
    return StreamLimits(
        first_seconds=settings.serving_first_token_seconds,
        quiet_seconds=settings.serving_quiet_seconds,
        whole_seconds=settings.serving_call_seconds,
    )


async def _cache(settings: Settings, stack: AsyncExitStack) -> AnswerCache | None:
    """Return what all runs of one tenant share, its jobs' answers among it."""
    if not settings.lm_cache_bytes:
        return None
    store = RedisResponseCache(
        settings.redis_url, max_bytes=settings.lm_cache_bytes, unused_seconds=settings.lm_cache_seconds
    )
    return AnswerCache(await stack.enter_async_context(aclosing(store)))


def _registry(parent: Parent, services: Services) -> ModelRegistry:
    return ModelRegistry(
        parent.providers,
        max_answer_bytes=parent.settings.lm_answer_bytes,
        models=parent.models,
        name_key=services.secret_key,
    )


def _reader(services: Services) -> ReadState:
    async def read(version: ProgramVersion) -> bytes:
        files = await read_version_files(version, artifacts=services.artifacts, secret_key=services.secret_key)
        return files[PROGRAM_STATE]

    return read
