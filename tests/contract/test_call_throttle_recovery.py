"""What two jobs get from a provider that fails for two minutes, or that allows so much and does not say how much."""

import pytest

from dspy_service.domain.throttle import PROBE_SECONDS, RAMP_SECONDS
from tests.contract.throttle_backends import Backend, InMemory, OnRedis
from tests.support.refusing import Admits, Job, PerMinute, World, out_of_order

OUTAGE = (20.0, 140.0)
LONGEST_WAIT_FOR_A_PROBE = {None: 10.0, 7.0: 10.0, 60.0: 60.0}
"""By what the provider asks for, in seconds."""
BACK_SECONDS = PROBE_SECONDS + RAMP_SECONDS


def world(backend: Backend, admits: Admits, *, threads: int = 8, retry_after: float | None = None) -> World:
    """Return two jobs of two tenants, each of which makes ten calls a second with eight threads."""
    jobs = [Job(tenant, threads, 0.8, tenant=tenant) for tenant in ("acme", "other")]
    return World(backend.pass_time, backend.throttle, admits, *jobs, retry_after=retry_after)


class RecoveryContract:
    @pytest.mark.parametrize("retry_after", [None, 7.0, 60.0])
    async def test_an_outage_of_two_minutes_is_one_refusal_and_the_pace_is_back_within_seconds(
        self, backend: Backend, retry_after: float | None
    ) -> None:
        begin, end = OUTAGE
        of_all = world(backend, out_of_order(*OUTAGE), retry_after=retry_after)
        await of_all.run(begin)
        before = of_all.answered_between(5, begin) / (begin - 5)

        await of_all.run(end, step_seconds=0.2)
        back = end + LONGEST_WAIT_FOR_A_PROBE[retry_after]
        await of_all.run(back + BACK_SECONDS + 10, step_seconds=0.2)

        ramp = of_all.answered_between(end, back + BACK_SECONDS)
        after = of_all.answered_between(back + BACK_SECONDS, back + BACK_SECONDS + 10) / 10
        assert of_all.refused_between(begin, end + 1) <= 16 + 120 / min(retry_after or 10, 10) + 4
        assert ramp >= 0.6 * RAMP_SECONDS * before
        assert after >= 0.85 * before

    async def test_a_job_that_comes_a_minute_after_an_outage_is_not_slowed_down(self, backend: Backend) -> None:
        slow = Job("slow", 1, 4.0)
        early = World(backend.pass_time, backend.throttle, out_of_order(0, 30), slow)
        await early.run(90, step_seconds=0.25)
        fresh = World(backend.pass_time, backend.throttle, out_of_order(0, 0), Job("fresh", 8, 0.8))

        await fresh.run(20)

        assert len(fresh.answered) >= 0.8 * 20 * 10

    async def test_a_second_outage_is_forgiven_as_the_first_was(self, backend: Backend) -> None:
        first, second = out_of_order(20, 60), out_of_order(140, 180)
        of_all = world(backend, lambda now: first(now) and second(now))

        await of_all.run(220, step_seconds=0.2)

        assert of_all.answered_between(205, 220) >= 0.85 * of_all.answered_between(5, 20)


class TestRecoveryInMemory(InMemory, RecoveryContract):
    @pytest.mark.parametrize("shape", ["bucket", "window"])
    @pytest.mark.parametrize("retry_after", [None, 5.0])
    @pytest.mark.parametrize("threads", [8, 64])
    @pytest.mark.parametrize("per_minute", [60, 1_000])
    async def test_a_limit_that_nobody_named_is_found_and_nearly_all_of_it_used(
        self, backend: Backend, per_minute: int, threads: int, retry_after: float | None, shape: str
    ) -> None:
        admits = PerMinute(per_minute, is_window=shape == "window")
        of_all = world(backend, admits, threads=threads, retry_after=retry_after)

        await of_all.run(600)

        most = min(per_minute / 60, 2 * threads / 0.8) * 300
        assert of_all.answered_between(300, 600) >= 0.8 * most
        assert of_all.refused_between(300, 600) <= 0.05 * most + 40


class TestRecoveryOnRedis(OnRedis, RecoveryContract):
    pass
