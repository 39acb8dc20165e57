"""The call throttles under test, with a way to move their time, and callers that ask them for a while."""

import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

import pytest
import redis.asyncio as redis

from dspy_service.adapters.memory import MemoryCallThrottle
from dspy_service.adapters.redis.throttle import RedisCallThrottle
from dspy_service.domain.throttle import CallGrant, CallWish, GrantUse, ProviderLimits
from dspy_service.ports import CallThrottle

PROVIDER = "openai:0123abcd"
_numbers = itertools.count(1)


class Backend(Protocol):
    throttle: CallThrottle

    def now(self) -> float:
        """Seconds, as the throttle sees them."""

    async def pass_time(self, seconds: float) -> None:
        """Behave as if so much time had passed."""


class MemoryBackend:
    def __init__(self) -> None:
        self._now = 1_000.0
        self.throttle = MemoryCallThrottle(clock=self.now)

    def now(self) -> float:
        return self._now

    async def pass_time(self, seconds: float) -> None:
        self._now += seconds


class RedisBackend:
    """Moves every moment that the store has written down into the past."""

    def __init__(self, url: str, raw: redis.Redis) -> None:
        self.throttle = RedisCallThrottle(url)
        self._raw = raw
        self._passed = 0.0
        self._key = f"{{dspy}}:throttle:{PROVIDER}"

    def now(self) -> float:
        return time.monotonic() + self._passed

    async def pass_time(self, seconds: float) -> None:
        self._passed += seconds
        state = json.loads(await self._raw.get(self._key) or "{}", object_hook=lambda o: _earlier(o, seconds))
        if state:
            await self._raw.set(self._key, json.dumps(state))
        for name, text in (await self._raw.hgetall(f"{self._key}:grants")).items():
            grant = json.loads(text, object_hook=lambda o: _earlier(o, seconds))
            await self._raw.hset(f"{self._key}:grants", name, json.dumps(grant))
            await self._raw.zincrby(f"{self._key}:leases", -seconds * 1000, name)
        left_ms = await self._raw.pttl(f"{self._key}:pressed")
        if left_ms > 0:
            await self._raw.pexpire(f"{self._key}:pressed", int(left_ms - seconds * 1000))  # below 1: gone at once


def _earlier(fields: dict[str, object], seconds: float) -> dict[str, object]:
    moments = {"now", "at", "quiet", "waits_until", "seen", "refused", "probed"}
    return {name: value - seconds if name in moments else value for name, value in fields.items()}


class InMemory:
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend()


class OnRedis:
    @pytest.fixture
    async def backend(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisBackend]:
        backend = RedisBackend(redis_url, raw_redis)
        yield backend
        await backend.throttle.aclose()


def a_wish(calls: int = 1, *, tokens: int = 0, tenant: str = "acme", job: str = "j1") -> CallWish:
    return CallWish(tenant=tenant, job_id=job, calls=calls, tokens=tokens, grant=f"g{next(_numbers)}")


async def taken(backend: Backend, limits: ProviderLimits, calls: int = 1, **fields: object) -> CallGrant:
    return await backend.throttle.take(PROVIDER, a_wish(calls, **fields), limits=limits)


@dataclass
class Caller:
    """A job that always has ``calls`` more to make, each of which takes so long and so many tokens."""

    name: str
    calls: int
    seconds: float = 0.0
    tokens: int = 0
    in_flight: int = 10_000
    """Most that it makes at a time."""
    asks_at: float = 0.0
    flying: list[tuple[float, str, int]] = field(default_factory=list)

    @property
    def tenant(self) -> str:
        return self.name[0]


class Provider:
    """Counts what was granted to whom, and when."""

    def __init__(self, backend: Backend, limits: ProviderLimits) -> None:
        self.backend = backend
        self.limits = limits
        self.granted: list[tuple[float, str, int]] = []

    async def serve(self, *callers: Caller, seconds: float, step_seconds: float = 0.1) -> Counter[str]:
        """Let all of them ask for so long, and return how many calls each was granted."""
        begun, before = self.backend.now(), len(self.granted)
        while self.backend.now() < begun + seconds:
            for caller in callers:
                await self._land(caller)
                await self._ask(caller)
            await self.backend.pass_time(step_seconds)
        return sum((Counter({name: calls}) for _, name, calls in self.granted[before:]), Counter())

    async def _land(self, caller: Caller) -> None:
        now = self.backend.now()
        ended = [flight for flight in caller.flying if flight[0] <= now]
        caller.flying = [flight for flight in caller.flying if flight[0] > now]
        uses = [GrantUse(grant=grant, left=0, tokens=calls * caller.tokens) for _, grant, calls in ended]
        uses += [GrantUse(grant=grant, left=calls) for _, grant, calls in caller.flying]
        await self.backend.throttle.report(PROVIDER, uses)
        if ended:
            caller.asks_at = now

    async def _ask(self, caller: Caller) -> None:
        room = caller.in_flight - sum(calls for _, _, calls in caller.flying)
        calls = min(caller.calls, room)
        if calls <= 0 or self.backend.now() < caller.asks_at:
            return
        wish = a_wish(calls, tokens=calls * caller.tokens, tenant=caller.tenant, job=caller.name)
        grant = await self.backend.throttle.take(PROVIDER, wish, limits=self.limits)
        now = self.backend.now()
        caller.asks_at = now + grant.wait_seconds
        if grant.calls:
            self.granted.append((now, caller.name, grant.calls))
        if grant.is_counted:
            caller.flying.append((now + caller.seconds, wish.grant, grant.calls))

    def most_in(self, seconds: float) -> int:
        """Return the most calls that any span of so many seconds saw."""
        return max(
            sum(calls for at, _, calls in self.granted if begin <= at < begin + seconds) for begin, _, _ in self.granted
        )
