"""The call throttle on Redis: one script, all times from Redis' own clock.

=========================================  ====================================================================
key (one hash tag)                         holds
=========================================  ====================================================================
``{dspy}:throttle:<provider>``             JSON: buckets, pace, and how much each tenant and job was served
``{dspy}:throttle:<provider>:grants``      hash: name of a counted grant to JSON of what it stands for
``{dspy}:throttle:<provider>:leases``      zset: counted grants, by the millisecond in which they end by themselves
``{dspy}:throttle:<provider>:pressed``     1 while every call must ask first, since somebody was refused
=========================================  ====================================================================

All of them go by themselves when a provider was not called for an hour.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.domain.throttle import CallGrant, CallWish, GrantUse, ProviderLimits

if TYPE_CHECKING:
    from dspy_service.ports import CallThrottle

_ROOT = "{dspy}:throttle:"


class RedisCallThrottle:
    """Divides calls in the Redis (or Valkey) at ``url``."""

    def __init__(self, url: str) -> None:
        self._client = RedisClient(url)

    async def take(self, provider: str, wish: CallWish, *, limits: ProviderLimits) -> CallGrant:
        """Ask to make calls now."""
        calls, is_counted, wait_ms, silence_ms, refusals = await self._run(
            provider,
            "take",
            wish.tenant,
            wish.job_id,
            wish.calls,
            wish.tokens,
            wish.grant,
            *(
                "" if limit is None else limit
                for limit in (limits.requests_per_minute, limits.tokens_per_minute, limits.max_in_flight)
            ),
        )
        return CallGrant(
            calls=calls,
            is_counted=bool(is_counted),
            wait_seconds=int(wait_ms) / 1000,
            silence_seconds=int(silence_ms) / 1000,
            refusals=refusals,
        )

    async def report(self, provider: str, uses: Sequence[GrantUse]) -> None:
        """Say what became of counted grants."""
        if uses:
            words: list[str | int] = [word for use in uses for word in (use.grant, use.left, use.tokens)]
            await self._run(provider, "report", *words)

    async def refused(
        self,
        provider: str,
        *,
        job_id: str,
        retry_after_seconds: float | None,
        calls_per_second: float,
        call_seconds: float,
    ) -> None:
        """Say that the provider answered 429."""
        asked = "" if retry_after_seconds is None else repr(retry_after_seconds)
        await self._run(provider, "refused", job_id, asked, repr(calls_per_second), repr(call_seconds))

    async def pressure(self, provider: str) -> bool:
        """Tell whether calls must ask first."""
        return bool(await self._client.command("EXISTS", f"{_ROOT}{provider}:pressed"))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _run(self, provider: str, verb: str, *args: str | int) -> Any:  # noqa: ANN401  # as the verb answers
        state = _ROOT + provider
        keys = [state, f"{state}:grants", f"{state}:leases", f"{state}:pressed"]
        return await self._client.run("throttle", keys=keys, args=[verb, *args])


if TYPE_CHECKING:
    _proof: CallThrottle = RedisCallThrottle("redis://")
