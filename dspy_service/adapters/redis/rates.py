"""The rate limiter on Redis: the sliding window counter of the ``limits`` library, on our own bounded connections."""

import time
from typing import TYPE_CHECKING

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from dspy_service.adapters.redis.client import answering, connection_pool

if TYPE_CHECKING:
    from dspy_service.ports import RateLimiter

_PREFIX = "dspy-service:rate"


class RedisRateLimiter:
    """Counts in the Redis (or Valkey) at ``url``."""

    def __init__(self, url: str) -> None:
        self._pool = connection_pool(url)
        # The pool knows the address; the library only wants to know that it is a Redis.
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=_PREFIX,
            connection_pool=self._pool,  # type: ignore[arg-type]  # the documented way, which its annotation forgot
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def take(self, name: str, *, per_minute: int) -> float | None:
        """Count one more, or say how long to wait. Raises StoreUnavailableError."""
        limit = RateLimitItemPerMinute(per_minute)
        async with answering():
            if await self._limiter.hit(limit, name):
                return None
            window = await self._limiter.get_window_stats(limit, name)
        return max(0.0, window.reset_time - time.time())

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


if TYPE_CHECKING:
    _proof: RateLimiter = RedisRateLimiter("redis://")
