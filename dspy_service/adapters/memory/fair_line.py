"""Who waits for a provider in memory, and whose turn it is: ``adapters/redis/lua/throttle.lua`` explains the rules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeVar

KEPT_SECONDS = 600.0
_MAX_STEPS = 200
_SLOT_SECONDS = 0.05  # when to look again whether a slot is free
_TINY = 1e-9


@dataclass
class Job:
    """One job that asks: how much it was served, in seconds of the whole provider, and what it waits for."""

    served: float = 0.0
    calls: int = 0
    tokens: float = 0.0
    """Of one call."""
    seconds: float = 1.0
    """That one call has lately held a slot."""
    waits_until: float = float("-inf")
    """When it counts as gone, unless it has asked again."""
    seen_at: float = 0.0

    def is_waiting(self, now: float) -> bool:
        """Whether it stands in the line."""
        return self.calls > 0 and self.waits_until >= now


@dataclass
class Tenant:
    """The jobs of one tenant, and how much all of them were served together."""

    served: float = 0.0
    floor: float = 0.0
    """Where a job that comes starts: how much the last one that was granted something had been served."""
    jobs: dict[str, Job] = field(default_factory=dict)


@dataclass
class Gate:
    """One limit: what of it is left, and how it fills again."""

    name: str
    unit: str
    """``call``, ``token`` or ``slot``."""
    left: float
    burst: float
    per_second: float
    """0 for slots."""

    def need(self, job: Job) -> float:
        """Return how much of it one call of the job takes."""
        return job.tokens if self.unit == "token" else 1.0

    def missing_seconds(self, job: Job) -> float:
        """Return how long one more call of the job must wait for it; 0: it may go now."""
        short = min(self.need(job), self.burst) - self.left
        if short <= _TINY:
            return 0.0
        return short / self.per_second if self.per_second else _SLOT_SECONDS


class Prices(NamedTuple):
    """What a call costs, in seconds of the whole provider, and what in it is for a token and a second of a slot."""

    of_call: float
    of_token: float
    of_slot: float


def price(gates: Sequence[Gate], job: Job) -> Prices:
    """Return what one call of the job costs."""
    of_token = sum(1 / gate.per_second for gate in gates if gate.unit == "token")
    of_slot = sum(1 / gate.burst for gate in gates if gate.unit == "slot")
    fixed = sum(1 / gate.per_second for gate in gates if gate.unit == "call")
    return Prices(fixed + job.tokens * of_token + job.seconds * of_slot, of_token, of_slot)


class _InLine(Protocol):
    served: float
    is_mine: bool


@dataclass
class _JobInLine:
    served: float
    left: int
    job: Job
    is_mine: bool


@dataclass
class _TenantInLine:
    served: float
    jobs: list[_JobInLine]
    is_mine: bool


def look_along(
    tenants: Iterable[Tenant], gates: Sequence[Gate], mine: Job, *, calls: int, now: float
) -> tuple[int, float]:
    """Return how many calls of my job are among those that may go now, and how long the next in line must wait."""
    if not gates:
        return calls, 0.0
    line = _line(tenants, mine, now)
    left = [replace(gate) for gate in gates]
    granted = 0
    for _ in range(_MAX_STEPS):
        if granted == calls:
            break
        tenant = _first(line)
        head = _first(tenant.jobs)
        wait = max(gate.missing_seconds(head.job) for gate in left)
        if wait > 0:
            return granted, wait
        cost = price(gates, head.job).of_call
        for gate in left:
            gate.left -= gate.need(head.job)
        tenant.served += cost
        head.served += cost
        head.left -= 1
        granted += head.is_mine
        if head.left == 0:
            tenant.jobs.remove(head)
            if not tenant.jobs:
                line.remove(tenant)
    return granted, 0.0


def _line(tenants: Iterable[Tenant], mine: Job, now: float) -> list[_TenantInLine]:
    line = []
    for tenant in tenants:
        jobs = [
            _JobInLine(job.served, job.calls, job, job is mine) for job in tenant.jobs.values() if job.is_waiting(now)
        ]
        if jobs:
            line.append(_TenantInLine(tenant.served, jobs, any(job.is_mine for job in jobs)))
    return line


_Place = TypeVar("_Place", bound=_InLine)


def _first(line: Sequence[_Place]) -> _Place:
    """Return who was served least; among equals it is whoever asks."""
    least = min(each.served for each in line)
    return next(
        (each for each in line if each.is_mine and each.served - least <= _TINY),
        next(each for each in line if each.served == least),
    )
