"""The run stores under test, and what a test may do to their time."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
import redis.asyncio as redis

from dspy_service.adapters.memory.runs import MemoryRunStore
from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.key_names import RUNS_SUBMITTED
from dspy_service.adapters.redis.runs import RedisRunStore
from dspy_service.adapters.redis.submits import SubmitListener
from dspy_service.ports.serving.runs import RunStore

_TIMES = ("created", "started", "shown", "completed", "stamp")


class RunBackend(Protocol):
    store: RunStore

    async def let_time_pass(self, seconds: float) -> None:
        """Behave as if everything in the store had been written so much earlier."""

    async def put_clock_back(self, run_id: str) -> None:
        """Behave as if the store's clock had been set back by an hour since the run's last write."""

    async def has_just_started(self) -> None:
        """Behave as if the store had been started now."""


class MemoryRunBackend:
    def __init__(self) -> None:
        self._now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        self.store = MemoryRunStore(clock=lambda: self._now)

    async def let_time_pass(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    async def put_clock_back(self, run_id: str) -> None:  # noqa: ARG002  # one clock for all runs
        self._now -= timedelta(hours=1)

    async def has_just_started(self) -> None:
        self.store.started_at = self._now


class RedisRunBackend:
    def __init__(self, store: RedisRunStore, raw: redis.Redis) -> None:
        self.store = store
        self._raw = raw

    async def let_time_pass(self, seconds: float) -> None:
        micros = round(seconds * 1_000_000)
        for key in await self._raw.keys("{dspy}:run*"):
            kind = await self._raw.type(key)
            if kind == "zset":
                for member in await self._raw.zrange(key, 0, -1):
                    await self._raw.zincrby(key, -micros, member)
            elif kind == "hash" and key.startswith("{dspy}:run:"):
                for field in set(_TIMES) & set(await self._raw.hkeys(key)):
                    await self._raw.hincrby(key, field, -micros)
            left_seconds = await self._raw.ttl(key)
            if left_seconds >= 0:
                await self._raw.expire(key, max(0, left_seconds - round(seconds)))
            if key.startswith("{dspy}:runs:usage:") and await self._raw.exists(key):
                account, _, day = key.rpartition(":")
                await self._raw.rename(key, f"{account}:{int(day) - round(seconds) // 86_400}")

    async def put_clock_back(self, run_id: str) -> None:
        await self._raw.hincrby(f"{{dspy}}:run:{run_id}", "stamp", 3600 * 1_000_000)

    async def has_just_started(self) -> None:
        """The server has been up for some seconds only; a test takes a longer lease than that."""


class _RepeatingClient(RedisClient):
    """Sends every script twice; only the second answer is heard, as after a connection that broke in between."""

    async def run(self, verb: str, *, keys: Sequence[str], args: Iterable[str | int] = ()) -> Any:  # noqa: ANN401  # likewise
        args = list(args)
        if verb != "runs/reap":  # which finds nothing more
            await super().run(verb, keys=keys, args=args)
        return await super().run(verb, keys=keys, args=args)


class RedisRunStoreWithLostReplies(RedisRunStore):
    """Behaves as the real one; whatever does not is a defect."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._client = _RepeatingClient(url)
        self._submits = SubmitListener(self._client, RUNS_SUBMITTED)


class RunsInMemory:
    @pytest.fixture
    def backend(self) -> MemoryRunBackend:
        return MemoryRunBackend()


class RunsOnRedis:
    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisRunBackend]:
        backend = RedisRunBackend(RedisRunStore(redis_url), raw_redis)
        yield backend
        await backend.store.aclose()


class RunsOnRedisWithLostReplies:
    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisRunBackend]:
        backend = RedisRunBackend(RedisRunStoreWithLostReplies(redis_url), raw_redis)
        yield backend
        await backend.store.aclose()
