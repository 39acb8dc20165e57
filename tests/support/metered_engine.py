"""A metered engine whose time passes only by waiting."""

import asyncio
from typing import Any

from tests.support.lm_calls import ScriptedEngine, target
from workers.lm.engine import CallLimits, MeteredEngine
from workers.lm.gate import Gate
from workers.lm.provider_line import ProviderLine
from workers.lm.retry import RetryPolicy


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Return now, in seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds


def metering(
    engine: ScriptedEngine,
    clock: Clock,
    *,
    line: ProviderLine | None = None,
    gate: Gate | None = None,
    **limits: Any,  # noqa: ANN401  # fields of CallLimits
) -> MeteredEngine:
    """Return the engine; waits begin with a second and have no jitter."""
    made = CallLimits(**{"retry": RetryPolicy(first_delay_seconds=1.0), **limits})
    return MeteredEngine(
        target(engine),
        made,
        gate=gate,
        line=line,
        sleep=clock.sleep,
        monotonic=clock.monotonic,
        jitter=lambda: 1.0,
    )
