"""Keeps a program that ends its process again and again from being started hot."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from dspy_service.domain.serving.run import RunError
from workers.serving.run_errors import KnownRunError

_FIRST_SECONDS: Final = 1.0
_MOST_SECONDS: Final = 30.0
_FORGOTTEN_SECONDS: Final = 60.0
_MAX_REMEMBERED: Final = 1_024


@dataclass
class _Fallen:
    told: RunError
    times: int
    at: float
    until: float


class Crashes:
    """What has ended at its own fault lately; the first time costs nothing, each further one twice as long.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._fallen: OrderedDict[Hashable, _Fallen] = OrderedDict()

    def note(self, key: Hashable, told: RunError) -> None:
        """Note an end, and what runs were told of it."""
        now, before = self._clock(), self._fallen.pop(key, None)
        times = 1 if before is None or now - before.at > _FORGOTTEN_SECONDS else before.times + 1
        wait = 0.0 if times == 1 else min(_MOST_SECONDS, _FIRST_SECONDS * 2 ** (times - 2))
        self._fallen[key] = _Fallen(told, times, now, now + wait)
        if len(self._fallen) > _MAX_REMEMBERED:
            self._fallen.popitem(last=False)

    def refuse_hot(self, key: Hashable) -> None:
        """Raise KnownRunError while it is too early to start this one anew."""
        fallen = self._fallen.get(key)
        left = 0.0 if fallen is None else fallen.until - self._clock()
        if fallen is not None and left > 0:
            raise KnownRunError(fallen.told.model_copy(update={"retry_after_seconds": float(math.ceil(left))}))
