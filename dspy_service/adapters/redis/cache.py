"""The response cache on Redis.

==================================  ============================================================================
key (one hash tag)                  holds
==================================  ============================================================================
``{dspy}:cache:<tenant>``           hash: call key to answer
``{dspy}:cache:<tenant>:used``      zset of the call keys, by the microsecond of their last use
``{dspy}:cache:<tenant>:bytes``     what all of them take
==================================  ============================================================================

All of them go by themselves when a tenant has not used its cache for as long as an answer may stand unused.
"""

from typing import TYPE_CHECKING

from dspy_service.adapters.redis.client import RedisClient

if TYPE_CHECKING:
    from dspy_service.ports import ResponseCache

_ROOT = "{dspy}:cache:"


class RedisResponseCache:
    """Answers in the Redis (or Valkey) at ``url``.

    Args:
        url: Of the server.
        max_bytes: Of all answers of one tenant; one that takes more than a sixteenth of it is not kept.
        unused_seconds: How long an answer that nobody asks for is kept.
    """

    def __init__(self, url: str, *, max_bytes: int, unused_seconds: float) -> None:
        self._client = RedisClient(url)
        self._max_bytes = max_bytes
        self._unused_micros = round(unused_seconds * 1_000_000)

    async def find(self, tenant: str, key: str) -> str | None:
        """Return an answer, and note that it was used."""
        found: str | None = await self._client.run(
            "cache_find", keys=_keys(tenant), args=[key, self._unused_micros, self._unused_micros // 1000]
        )
        return found

    async def keep(self, tenant: str, key: str, answer: str, *, replace: bool = False) -> None:
        """Keep an answer for a while."""
        args = (key, answer, self._max_bytes, self._unused_micros, self._unused_micros // 1000, int(replace))
        await self._client.run("cache_keep", keys=_keys(tenant), args=args)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _keys(tenant: str) -> list[str]:
    return [_ROOT + tenant, f"{_ROOT}{tenant}:used", f"{_ROOT}{tenant}:bytes"]


if TYPE_CHECKING:
    _proof: ResponseCache = RedisResponseCache("redis://", max_bytes=1, unused_seconds=1)
