"""Simulated conditions of a provider: how slow a call is, and whether it fails."""

import math
import threading
from collections import Counter
from typing import Final

from workers.lm.demo.drawing import digest
from workers.lm.demo.options import DemoOptions, FaultKind

_UNIT: Final = 2**52


class Weather:
    """Draws latency and faults from the request and its attempt, so that the same calls fail again.

    Attempts are counted per request and forgotten after a success, so that nothing grows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: Counter[tuple[DemoOptions, str]] = Counter()

    def next_attempt(self, options: DemoOptions, request: str) -> tuple[float, FaultKind | None]:
        """Latency in seconds and the fault, if any, of the next attempt at a request."""
        if not options.fault_rate:
            return _latency_seconds(options, request, 0), None
        with self._lock:
            attempt = self._attempts[options, request]
            failed = _share(options, request, attempt, "fault") < options.fault_rate
            if failed:
                self._attempts[options, request] += 1
            else:
                del self._attempts[options, request]
        kinds = options.fault_kinds
        kind = kinds[int(_share(options, request, attempt, "kind") * len(kinds))] if failed else None
        return _latency_seconds(options, request, attempt), kind


def _latency_seconds(options: DemoOptions, request: str, attempt: int) -> float:
    if not (options.latency_ms and options.latency_sigma):
        return options.latency_ms / 1000
    # Box-Muller: a normal number from two uniform ones.
    radius = math.sqrt(-2 * math.log(1 - _share(options, request, attempt, "radius")))
    normal = radius * math.cos(2 * math.pi * _share(options, request, attempt, "angle"))
    return options.latency_ms / 1000 * math.exp(options.latency_sigma * normal)


def _share(options: DemoOptions, request: str, attempt: int, purpose: str) -> float:
    """A repeatable number from 0 (included) to 1 (excluded)."""
    return digest(f"{options.seed}\x00{attempt}\x00{purpose}\x00{request}") % _UNIT / _UNIT
