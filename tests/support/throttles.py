"""A call throttle that a test drives by hand, and lines in front of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import pytest

from dspy_service.domain.throttle import CallGrant, CallWish, GrantUse, ProviderLimits
from dspy_service.ports import CallThrottle
from tests.support.waiting import until
from workers.lm.provider_line import ProviderLine

NO_LIMITS = ProviderLimits()
LIMITS = ProviderLimits(max_in_flight=8, tokens_per_minute=1_000_000)


@dataclass(frozen=True)
class Refusal:
    retry_after_seconds: float | None
    calls_per_second: float
    call_seconds: float


def grant_all(wish: CallWish) -> CallGrant:
    return CallGrant(calls=wish.calls, is_counted=True)


class ScriptedThrottle:
    """Answers every wish as ``script`` says, once ``is_answering`` is set, and remembers what it was told.

    It serves one provider.
    """

    def __init__(self, script: Callable[[CallWish], CallGrant] = grant_all) -> None:
        self.script = script
        self.is_answering = asyncio.Event()
        self.is_answering.set()
        self.is_pressed = False
        self.error: Exception | None = None
        self.wishes: list[CallWish] = []
        self.reports: list[list[GrantUse]] = []
        self.refusals: list[Refusal] = []
        self.looks = 0

    @property
    def uses(self) -> list[GrantUse]:
        return [use for report in self.reports for use in report]

    async def take(
        self,
        provider: str,  # noqa: ARG002  # the port's
        wish: CallWish,
        *,
        limits: ProviderLimits,  # noqa: ARG002  # the port's
    ) -> CallGrant:
        self.wishes.append(wish)
        await self._answer()
        return self.script(wish)

    async def report(self, provider: str, uses: Sequence[GrantUse]) -> None:  # noqa: ARG002  # the port's
        await self._answer()
        self.reports.append(list(uses))

    async def refused(
        self,
        provider: str,  # noqa: ARG002  # the port's
        *,
        job_id: str,  # noqa: ARG002  # the port's
        retry_after_seconds: float | None,
        calls_per_second: float,
        call_seconds: float,
    ) -> None:
        await self._answer()
        self.refusals.append(Refusal(retry_after_seconds, calls_per_second, call_seconds))

    async def pressure(self, provider: str) -> bool:  # noqa: ARG002  # the port's
        self.looks += 1
        is_pressed = self.is_pressed
        await self._answer()
        return is_pressed

    async def aclose(self) -> None:
        pass

    async def _answer(self) -> None:
        await self.is_answering.wait()
        if self.error is not None:
            raise self.error


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


Opened = Callable[..., ProviderLine]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    lines: list[ProviderLine] = []

    def open_line(throttle: CallThrottle, limits: ProviderLimits = LIMITS, clock: Clock | None = None) -> ProviderLine:
        clocked = {} if clock is None else {"monotonic": clock}
        lines.append(ProviderLine("p", limits, throttle=throttle, tenant="acme", job_id="j1", **clocked))
        return lines[-1]

    yield open_line
    for line in lines:
        await line.aclose()


async def told(throttle: ScriptedThrottle, *uses: GrantUse) -> None:
    async def are_told() -> bool:
        return throttle.uses == list(uses)

    await until(are_told)


async def settled() -> None:
    """Let every task run until it waits for something else than the loop."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until_asked(throttle: ScriptedThrottle, *, times: int = 1) -> None:
    async def is_asked() -> bool:
        return len(throttle.wishes) >= times

    await until(is_asked)
