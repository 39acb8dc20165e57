"""The counters of language model calls on Redis.

==================================  ============================================================================
key (one hash tag)                  holds
==================================  ============================================================================
``{dspy}:lm_counts``                hash: ``<figure>:<role>`` to a whole number
``{dspy}:lm_counts:<reporter>``     number of its last report, for an hour after that
==================================  ============================================================================
"""

import contextlib
from typing import TYPE_CHECKING

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.domain.call_counts import CallCount, CallCounts, CallFigure

if TYPE_CHECKING:
    from dspy_service.ports import CallLedger

_TOTALS = "{dspy}:lm_counts"
_REMEMBERED_MILLISECONDS = 3_600_000  # an attempt reports every few seconds


class RedisCallLedger:
    """Counters in the Redis (or Valkey) at ``url``."""

    def __init__(self, url: str) -> None:
        self._client = RedisClient(url)

    async def add(self, reporter: str, number: int, counts: CallCounts) -> None:
        """See CallLedger."""
        args: list[str | int] = [number, _REMEMBERED_MILLISECONDS]
        for (figure, role), count in counts.items():
            args += [f"{figure}:{role}", count]
        await self._client.run("count_calls", keys=[_TOTALS, f"{_TOTALS}:{reporter}"], args=args)

    async def totals(self) -> CallCounts:
        """See CallLedger."""
        found: dict[str, str] = await self._client.command("HGETALL", _TOTALS)
        counts = {}
        for field, count in found.items():
            figure, _, role = field.partition(":")
            with contextlib.suppress(ValueError):  # a newer release counts more
                counts[CallCount(CallFigure(figure), role)] = int(count)
        return counts

    async def aclose(self) -> None:
        """See CallLedger."""
        await self._client.aclose()


if TYPE_CHECKING:
    _proof: CallLedger = RedisCallLedger("redis://")
