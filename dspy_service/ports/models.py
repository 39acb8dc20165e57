"""What the language models of all workers share."""

from collections.abc import Sequence
from typing import Protocol

from dspy_service.domain.call_counts import CallCounts
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
        self,
        provider: str,
        *,
        job_id: str,
        retry_after_seconds: float | None,
        calls_per_second: float,
        call_seconds: float,
    ) -> None:
        """Say that the provider answered 429: everybody waits, then one call goes alone, as a probe.

        While probes are refused, everybody waits again and nothing else changes. Else all go on at half of the pace
        before the refusals, and are back at it ``RAMP_SECONDS`` later. A pace that is refused after that is too high.

        Args:
            provider: See ``take``.
            job_id: Whose call it was.
            retry_after_seconds: What the provider asked for, of which ``MAX_QUIET_SECONDS`` count; without it the waits
                double from refusal to refusal, up to 10 s.
            calls_per_second: How fast this job went; the throttle knows only the pace of what was granted.
            call_seconds: How long ago the refused call was begun; those that were under way together are one refusal.
        """
        ...

    async def pressure(self, provider: str) -> bool:
        """Tell whether calls must ask first even where the operator set no limits: somebody was refused lately."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class CallLedger(Protocol):
    """Counters of all calls of all jobs since the store began; they only grow. For operators: no budget is read here.

    Every method raises StoreUnavailableError.
    """

    async def add(self, reporter: str, number: int, counts: CallCounts) -> None:
        """Add to the counters.

        Args:
            reporter: Who counted.
            number: Of its report, from 1, rising; one that was taken in already changes nothing.
            counts: What came to each counter since the report before; not negative.
        """
        ...

    async def totals(self) -> CallCounts:
        """Return the counters; one to which nothing ever came may be left out."""
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

    async def keep(self, tenant: str, key: str, answer: str, *, replace: bool = False) -> None:
        """Keep an answer for a while. One that is too large is not kept.

        The first answer to a key stands, unless this is to ``replace`` it.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
