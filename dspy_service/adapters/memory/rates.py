"""The rate limiter in memory."""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dspy_service.ports import RateLimiter

_MINUTE_SECONDS = 60.0


class MemoryRateLimiter:
    """Remembers the time of every request of the last minute; ``clock`` gives seconds, so that tests can move time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken: defaultdict[str, deque[float]] = defaultdict(deque)

    async def take(self, name: str, *, per_minute: int) -> float | None:
        """Count one more, or say how long to wait."""
        now, taken = self._clock(), self._taken[name]
        while taken and taken[0] <= now - _MINUTE_SECONDS:
            taken.popleft()
        if len(taken) >= per_minute:
            return taken[0] + _MINUTE_SECONDS - now
        taken.append(now)
        return None

    async def aclose(self) -> None:
        """Nothing to release."""


if TYPE_CHECKING:
    _proof: RateLimiter = MemoryRateLimiter()
