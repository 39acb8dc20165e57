"""What can be called: one language model behind one engine, with all that must be known about it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from dspy._vendor.lm15.types import StreamEvent  # not re-exported by dspy.lm15
from dspy.lm15 import Request, Response

from dspy_service.domain.throttle import ProviderLimits
from workers.lm.prices import Price


class AsyncEngine(Protocol):
    """One attempt at one call; DSPy's own contract for engines, less streaming."""

    async def complete(self, request: Request, *, sample: str) -> Response:
        """Return one response, or raise an lm15 error.

        ``sample`` tells several samples of an equal request apart; only a model that is deterministic needs it.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class StreamingEngine(Protocol):
    """One attempt at one call whose answer is told while it is written."""

    def stream(self, request: Request, *, sample: str) -> AsyncIterator[StreamEvent]:
        """Yield lm15's events: one start, deltas, one end; or raise an lm15 error. ``sample`` as in AsyncEngine."""
        ...


@dataclass(frozen=True)
class Target:
    """An engine with what must be known to call it."""

    alias: str
    """Stable name for journals and reports; tells two endpoints of one model name apart, carries no secret."""
    wire_model: str
    """The model's name as its endpoint knows it."""
    engine: AsyncEngine = field(repr=False)
    price: Price = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values that an endpoint may repeat in a message and nobody else may see."""
    is_priced: bool = True
    """Whether ``price`` will know what a call cost."""
    prices_as_of: str | None = None
    """Which price list it goes by; None when it needs none."""
    provider: str = ""
    """Name of the account or endpoint that counts the calls of all workers together; empty: nobody counts them."""
    place: str = ""
    """The same as the job's owner knows it: a prefix, or the origin of a ``base_url``; tells nothing of a key."""
    is_shared: bool = True
    """Whether it counts the calls of all tenants together; else one tenant's endpoint holds up nobody else's jobs."""
    provider_limits: ProviderLimits = field(default_factory=ProviderLimits)
    """What the operator says that it allows."""
    streams: StreamingEngine | None = field(default=None, repr=False)
    """The same model piece by piece; None: it answers only as a whole."""
