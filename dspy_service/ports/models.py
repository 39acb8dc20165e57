"""What the language models of all workers share."""

from collections.abc import Sequence
from typing import Protocol

from dspy_service.domain.throttle import CallGrant, CallWish, GrantUse, ProviderLimits


class CallThrottle(Protocol):
    """Divides what a provider allows among all workers: first between tenants, then between each one's jobs.

    Whoever was served least comes first, whether he asks for one call or for a hundred; nobody's share waits for him
    longer than about a second. A job that begins, or comes back, starts level with the others.

    Every method raises StoreUnavailableError.
    """

    async def take(self, provider: str, wish: CallWish, *, limits: ProviderLimits) -> CallGrant:
        """Ask to make calls now.

        Args:
            provider: Name of the account or endpoint; carries no secret.
            wish: Whose calls, how many, and about how many tokens.
            limits: What the operator says the provider allows. No minute sees more requests than that; and more
                tokens only by what the callers underestimated, or by one call that is larger than the burst.

        Returns:
            How many may be made now, and when to ask again for the rest.
        """
        ...

    async def report(self, provider: str, uses: Sequence[GrantUse]) -> None:
        """Say what became of counted grants.

        A grant whose calls are still being made must be named again within ``GRANT_SECONDS``, or they count as ended.
        """
        ...

    async def refused(
        self, provider: str, *, retry_after_seconds: float | None, calls_per_second: float, call_seconds: float
    ) -> None:
        """Say that the provider answered 429: everybody waits, then goes on at half the pace, which grows again.

        Args:
            provider: See ``take``.
            retry_after_seconds: What the provider asked for; without it the waits double from refusal to refusal.
            calls_per_second: How fast this caller went; the throttle knows only the pace of what was granted.
            call_seconds: How long ago the refused call was begun; those that were under way together are one refusal.
        """
        ...

    async def pressure(self, provider: str) -> bool:
        """Tell whether calls must ask first even where the operator set no limits: somebody was refused lately."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class ResponseCache(Protocol):
    """Answers that one tenant's jobs share. Bounded; what was not used for longest leaves first.

    Every method raises StoreUnavailableError.
    """

    async def find(self, tenant: str, key: str) -> str | None:
        """Return an answer, and note that it was used."""
        ...

    async def keep(self, tenant: str, key: str, answer: str) -> None:
        """Keep an answer for a while; the first one to a key stands. One that is too large is not kept."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
