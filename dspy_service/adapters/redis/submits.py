"""Waits until a job may run: woken by a published message, with a poll beneath it because messages can be lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio.client import PubSub

from dspy_service.adapters.redis.client import RedisClient, answering

_POLL_SECONDS = 1.0


class SubmitListener:
    """Compares the counter of jobs that may run now with the last value seen; ``key`` is also the wake-up channel."""

    def __init__(self, client: RedisClient, key: str) -> None:
        self._client = client
        self._key = key
        self._seen = 0
        self._pubsub: PubSub | None = None

    async def wait(self, timeout_seconds: float) -> bool:
        """Return True as soon as the counter grew since the last True; False when the time is up."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + timeout_seconds
        async with self._subscribed() as pubsub:
            while not await self._has_grown():
                left_seconds = ends_at - clock()
                if left_seconds <= 0:
                    return False
                pause_seconds = min(left_seconds, _POLL_SECONDS)
                async with answering(extra_seconds=pause_seconds):
                    await pubsub.get_message(ignore_subscribe_messages=True, timeout=pause_seconds)
        return True

    async def aclose(self) -> None:
        """Give the connection back."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it bare

    async def _has_grown(self) -> bool:
        count = int(await self._client.command("GET", self._key) or 0)
        grown, self._seen = count != self._seen, count
        return grown

    @asynccontextmanager
    async def _subscribed(self) -> AsyncIterator[PubSub]:
        """Hold one connection that listens; a failed one is dropped, so that the next wait starts afresh."""
        if self._pubsub is None:
            self._pubsub = self._client.pubsub()
        try:
            if not self._pubsub.subscribed:
                async with answering():
                    await self._pubsub.subscribe(self._key)
            yield self._pubsub
        except BaseException:
            await self.aclose()
            raise
