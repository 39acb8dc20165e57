"""Jobs that call a provider which refuses some calls, in time that passes only when a test says so."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from dspy_service.domain.throttle import CallWish, ProviderLimits
from dspy_service.ports import CallThrottle
from workers.lm.call_flow import CallFlow

NAME = "openai:0123abcd"
"""As in the contract tests of throttles, whose backends move time for this provider."""
_REFUSAL_SECONDS = 0.1
_numbers = itertools.count(1)

Admits = Callable[[float], bool]
"""Whether a provider answers a call that comes at this second."""


def out_of_order(begin: float, end: float) -> Admits:
    """Refuse everything for a while."""
    return lambda now: not begin <= now < end


class PerMinute:
    """Answers so many calls a minute, and refuses the others: a bucket that fills, or anew when a minute begins."""

    def __init__(self, most: int, *, is_window: bool = False) -> None:
        self._most = self._left = float(most)
        self._is_window = is_window
        self._at = 0.0

    def __call__(self, now: float) -> bool:
        if self._is_window:
            self._left = self._most if now // 60 > self._at // 60 else self._left
        else:
            self._left = min(self._most, self._left + (now - self._at) * self._most / 60)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass
class Job:
    """Makes calls as fast as its threads allow, as a worker would: it asks once it knows that somebody was refused."""

    name: str
    threads: int
    call_seconds: float
    tenant: str = "acme"
    flying: list[tuple[float, float, bool]] = field(default_factory=list)
    """When each call was begun and ends, and whether it is answered."""
    is_pressed: bool = False
    looked_at: float = -math.inf
    asks_at: float = 0.0
    flow: CallFlow = field(default_factory=lambda: CallFlow(0.0))


class World:
    """One provider and the jobs that call it; moments are seconds since the beginning."""

    def __init__(
        self,
        backend_pass: Callable[[float], object],
        throttle: CallThrottle,
        admits: Admits,
        *jobs: Job,
        retry_after: float | None = None,
    ) -> None:
        self._pass_time = backend_pass
        self._throttle = throttle
        self._admits = admits
        self._jobs = jobs
        self._retry_after = retry_after
        self.now = 0.0
        self.answered: list[float] = []
        self.refused: list[float] = []

    def answered_between(self, begin: float, end: float) -> int:
        """Return how many calls were answered."""
        return sum(begin <= at < end for at in self.answered)

    def refused_between(self, begin: float, end: float) -> int:
        """Return how many calls were refused."""
        return sum(begin <= at < end for at in self.refused)

    async def run(self, until: float, *, step_seconds: float = 0.1) -> None:
        """Let all jobs call until then."""
        while self.now < until:
            for job in self._jobs:
                await self._land(job)
                await self._begin(job)
            passing = self._pass_time(step_seconds)
            if hasattr(passing, "__await__"):
                await passing
            self.now += step_seconds

    async def _land(self, job: Job) -> None:
        for begun, ends, is_answered in [flight for flight in job.flying if flight[1] <= self.now]:
            job.flying.remove((begun, ends, is_answered))
            if is_answered:
                self.answered.append(self.now)
                continue
            self.refused.append(self.now)
            job.is_pressed, job.asks_at = True, self.now
            await self._throttle.refused(
                NAME,
                job_id=job.name,
                retry_after_seconds=self._retry_after,
                calls_per_second=job.flow.per_second(self.now),
                call_seconds=self.now - begun,
            )

    async def _begin(self, job: Job) -> None:
        calls = job.threads - len(job.flying)
        if self.now - job.looked_at >= 1:
            job.looked_at, job.is_pressed = self.now, await self._throttle.pressure(NAME)
        if calls > 0 and job.is_pressed:
            if self.now < job.asks_at:
                return
            wish = CallWish(tenant=job.tenant, job_id=job.name, calls=calls, tokens=0, grant=f"n{next(_numbers)}")
            grant = await self._throttle.take(NAME, wish, limits=ProviderLimits())
            calls, job.asks_at = grant.calls, self.now + grant.wait_seconds
        for _ in range(calls):
            job.flow.count(self.now)
            is_answered = self._admits(self.now)
            seconds = job.call_seconds if is_answered else _REFUSAL_SECONDS
            job.flying.append((self.now, self.now + seconds, is_answered))
