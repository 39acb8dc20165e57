"""The call throttle in memory: the same fair queue as ``adapters/redis/lua/throttle.lua``, which explains it."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dspy_service.adapters.memory.fair_line import KEPT_SECONDS, Gate, Job, Tenant, look_along, price
from dspy_service.adapters.memory.recovery import Recovery
from dspy_service.domain.throttle import (
    GRANT_SECONDS,
    PRESSURE_SECONDS,
    PROBE_SECONDS,
    CallGrant,
    CallWish,
    GrantUse,
    ProviderLimits,
)

if TYPE_CHECKING:
    from dspy_service.ports import CallThrottle

_BURST_SHARE = 30
_FLOW_SECONDS = 10.0


@dataclass
class _Bucket:
    level: float
    at: float


@dataclass
class _Grant:
    tenant: str
    job: str
    calls: int
    left: int
    at: float
    ends_at: float
    tokens: float
    seconds: float
    of_token: float
    of_slot: float


@dataclass
class _Provider:
    """All that is known about one account or endpoint."""

    now: float
    tenants: dict[str, Tenant] = field(default_factory=dict)
    grants: dict[str, _Grant] = field(default_factory=dict)
    buckets: dict[str, _Bucket] = field(default_factory=dict)
    floor: float = 0.0
    flow: float = 0.0
    recovery: Recovery = field(default_factory=Recovery)

    def move_to(self, now: float) -> None:
        self.flow *= math.exp(-max(0.0, now - self.now) / _FLOW_SECONDS)
        self.now = now
        self.grants = {name: grant for name, grant in self.grants.items() if grant.ends_at > now}
        for tenant in self.tenants.values():
            tenant.jobs = {name: job for name, job in tenant.jobs.items() if job.seen_at >= now - KEPT_SECONDS}
        self.tenants = {name: tenant for name, tenant in self.tenants.items() if tenant.jobs}

    def gates(self, limits: ProviderLimits) -> list[Gate]:
        gates: list[Gate] = []
        if limits.requests_per_minute is not None:
            burst = max(1, limits.requests_per_minute // _BURST_SHARE)
            gates.append(self._bucket("requests", burst, (limits.requests_per_minute - burst + 1) / 60, "call"))
        if limits.tokens_per_minute is not None:
            burst = max(1, limits.tokens_per_minute // _BURST_SHARE)
            gates.append(self._bucket("tokens", burst, max(1, limits.tokens_per_minute - burst) / 60, "token"))
        pace = self.recovery.pace(self.now)
        if pace is not None:
            at_once = 1.0 if self.recovery.wants_probe(self.now) else max(1.0, pace / 2)
            gates.append(self._bucket("paced", at_once, pace, "call"))
        if limits.max_in_flight is not None:
            flying = sum(grant.left for grant in self.grants.values())
            gates.append(Gate("slots", "slot", limits.max_in_flight - flying, limits.max_in_flight, 0.0))
        return gates

    def _bucket(self, name: str, burst: float, per_second: float, unit: str) -> Gate:
        kept = self.buckets.setdefault(name, _Bucket(burst, self.now))
        kept.level = min(burst, kept.level + max(0.0, self.now - kept.at) * per_second)
        kept.at = self.now
        return Gate(name, unit, kept.level, burst, per_second)


class MemoryCallThrottle:
    """Divides calls among the tasks of one process; ``clock`` gives seconds, so that tests can move time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._providers: defaultdict[str, _Provider] = defaultdict(lambda: _Provider(clock()))

    async def take(self, provider: str, wish: CallWish, *, limits: ProviderLimits) -> CallGrant:
        """Ask to make calls now."""
        state = self._moved(provider)
        known = state.grants.get(wish.grant)
        if known is not None:
            return CallGrant(calls=known.calls, is_counted=True)
        tenant, job = _enlisted(state, wish)
        gates = state.gates(limits)
        prices = price(gates, job)
        silence = wait = max(0.0, state.recovery.silence_seconds(state.now))
        granted = 0
        if wait <= 0:
            granted, wait = look_along(state.tenants.values(), gates, job, calls=wish.calls, now=state.now)
        if granted and state.recovery.wants_probe(state.now):
            state.recovery.note_probe(state.now)
            wait = PROBE_SECONDS
        if granted:
            _serve(state, tenant, job, gates, granted=granted, cost=prices.of_call)
        is_counted = bool(granted and prices.of_token + prices.of_slot)
        if is_counted:
            state.grants[wish.grant] = _Grant(
                tenant=wish.tenant,
                job=wish.job_id,
                calls=granted,
                left=granted,
                at=state.now,
                ends_at=state.now + GRANT_SECONDS,
                tokens=job.tokens,
                seconds=job.seconds,
                of_token=prices.of_token,
                of_slot=prices.of_slot,
            )
        heads = sum(each.is_waiting(state.now) for other in state.tenants.values() for each in other.jobs.values())
        wait = min(5.0, max(wait, 0.02 * heads)) if granted < wish.calls else 0.0
        job.calls, job.waits_until = wish.calls - granted, state.now + wait + 1
        return CallGrant(
            calls=granted,
            is_counted=is_counted,
            wait_seconds=wait,
            silence_seconds=silence,
            refusals=state.recovery.refusals if silence else 0,
        )

    async def report(self, provider: str, uses: Sequence[GrantUse]) -> None:
        """Say what became of counted grants."""
        state = self._moved(provider)
        for use in uses:
            grant = state.grants.get(use.grant)
            if grant is not None:
                _settle(state, grant, use)
                if grant.left == 0:
                    del state.grants[use.grant]

    async def refused(
        self,
        provider: str,
        *,
        job_id: str,
        retry_after_seconds: float | None,
        calls_per_second: float,
        call_seconds: float,
    ) -> None:
        """Say that the provider answered 429."""
        state = self._moved(provider)
        is_new = state.recovery.refused(
            state.now,
            job=job_id,
            asked=retry_after_seconds,
            calls_per_second=calls_per_second,
            granted_per_second=state.flow / _FLOW_SECONDS,
            call_seconds=call_seconds,
        )
        if is_new:
            state.buckets.pop("paced", None)

    async def pressure(self, provider: str) -> bool:
        """Tell whether calls must ask first."""
        return self._moved(provider).recovery.quiet_until + PRESSURE_SECONDS > self._clock()

    async def aclose(self) -> None:
        """Nothing to release."""

    def _moved(self, provider: str) -> _Provider:
        state = self._providers[provider]
        state.move_to(self._clock())
        return state


def _enlisted(state: _Provider, wish: CallWish) -> tuple[Tenant, Job]:
    """Note the wish. Whoever was not in the line joins level with whom it served last."""
    tenant = state.tenants.setdefault(wish.tenant, Tenant())
    job = tenant.jobs.setdefault(wish.job_id, Job())
    if not any(each.is_waiting(state.now) for each in tenant.jobs.values()):
        tenant.served = max(tenant.served, state.floor)
    if not job.is_waiting(state.now):
        job.served = max(job.served, tenant.floor)
    job.seen_at = job.waits_until = state.now
    job.calls, job.tokens = wish.calls, wish.tokens / wish.calls
    return tenant, job


def _serve(state: _Provider, tenant: Tenant, job: Job, gates: Sequence[Gate], *, granted: int, cost: float) -> None:
    for gate in gates:
        if gate.name in state.buckets:
            state.buckets[gate.name].level -= granted * gate.need(job)
    state.floor = max(state.floor, tenant.served + (granted - 1) * cost)
    tenant.floor = max(tenant.floor, job.served + (granted - 1) * cost)
    tenant.served += granted * cost
    job.served += granted * cost
    state.flow += granted


def _settle(state: _Provider, grant: _Grant, use: GrantUse) -> None:
    ended = max(0, grant.left - use.left)
    grant.left -= ended
    grant.ends_at = state.now + GRANT_SECONDS
    if not ended:
        return
    extra = 0.0
    if grant.of_token and "tokens" in state.buckets:
        extra = min(use.tokens - ended * grant.tokens, 60 / grant.of_token)  # whatever an endpoint claims
        state.buckets["tokens"].level -= extra
    tenant = state.tenants.get(grant.tenant)
    job = tenant.jobs.get(grant.job) if tenant is not None else None
    if tenant is not None and job is not None:
        seconds = state.now - grant.at
        owed = extra * grant.of_token + ended * (seconds - grant.seconds) * grant.of_slot
        tenant.served += owed
        job.served += owed
        job.seconds += 0.2 * (seconds - job.seconds)
        job.seen_at = state.now


if TYPE_CHECKING:
    _proof: CallThrottle = MemoryCallThrottle()
