"""How many calls a second there were lately."""

import math
from typing import Final

_MEMORY_SECONDS: Final = 10.0
_LEAST_SECONDS: Final = 0.5
"""Of observation: the first call alone says nothing about a pace."""


class CallFlow:
    """An average over the last ten seconds or so, in which older calls count less."""

    def __init__(self, now: float) -> None:
        self._begun_at = self._at = now
        self._calls = 0.0

    def count(self, now: float) -> None:
        """Note one more call."""
        self._calls = self._faded(now) + 1
        self._at = now

    def per_second(self, now: float) -> float:
        """Return the pace; a flow that has just begun is measured since then."""
        seen = max(_LEAST_SECONDS, now - self._begun_at)
        return self._faded(now) / (_MEMORY_SECONDS * (1 - math.exp(-seen / _MEMORY_SECONDS)))

    def _faded(self, now: float) -> float:
        return self._calls * math.exp((self._at - now) / _MEMORY_SECONDS)
