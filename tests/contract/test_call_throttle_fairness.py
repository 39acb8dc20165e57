"""Tenants share a provider evenly, and each one's jobs its share; nobody gets more by asking for more."""

from collections import Counter

import pytest

from dspy_service.domain.throttle import ProviderLimits
from tests.contract.throttle_backends import PROVIDER, Backend, Caller, InMemory, OnRedis, Provider, taken

TEN_PER_SECOND = ProviderLimits(requests_per_minute=600)


class FairnessContract:
    async def test_two_tenants_get_a_half_each_and_the_jobs_of_one_share_its_half(self, backend: Backend) -> None:
        provider, callers = Provider(backend, TEN_PER_SECOND), [Caller("a1", 6_400), Caller("a2", 64), Caller("b1", 64)]
        await provider.serve(*callers, seconds=1)  # whoever is first takes the burst

        served = await provider.serve(*callers, seconds=30)

        assert shares(served) == pytest.approx({"a1": 0.25, "a2": 0.25, "b1": 0.5}, rel=0.05)
        assert served.total() >= 0.95 * 300

    async def test_a_job_that_asks_for_one_call_at_a_time_is_not_behind_one_that_asks_for_hundreds(
        self, backend: Backend
    ) -> None:
        provider = Provider(backend, TEN_PER_SECOND)

        served = await provider.serve(Caller("a1", 500), Caller("b1", 1), seconds=30)

        assert shares(served) == pytest.approx({"a1": 0.5, "b1": 0.5}, rel=0.15)

    async def test_what_one_does_not_want_goes_to_the_others(self, backend: Backend) -> None:
        provider, modest = Provider(backend, TEN_PER_SECOND), Caller("b1", 1, seconds=1.0)
        served = Counter[str]()

        for _ in range(10):
            served += await provider.serve(Caller("a1", 100), modest, seconds=1)
            served += await provider.serve(Caller("a1", 100), seconds=1)

        assert served["b1"] <= 110
        assert served.total() >= 0.95 * 200

    async def test_the_last_one_left_gets_everything_within_a_second(self, backend: Backend) -> None:
        provider = Provider(backend, TEN_PER_SECOND)
        await provider.serve(Caller("a1", 64), Caller("b1", 64), Caller("c1", 64), seconds=10)
        await backend.pass_time(1.2)

        served = await provider.serve(Caller("b1", 64), seconds=10)

        assert served["b1"] >= 95

    async def test_who_comes_late_neither_catches_up_nor_waits(self, backend: Backend) -> None:
        provider, early = Provider(backend, TEN_PER_SECOND), Caller("a1", 64)
        await provider.serve(early, seconds=30)

        served = await provider.serve(early, Caller("b1", 64), Caller("a2", 64), seconds=20)

        assert shares(served) == pytest.approx({"a1": 0.25, "a2": 0.25, "b1": 0.5}, rel=0.2)

    async def test_slots_are_shared_by_the_time_that_they_are_held(self, backend: Backend) -> None:
        provider = Provider(backend, ProviderLimits(max_in_flight=12))
        slow, quick = Caller("a1", 64, seconds=2.0), Caller("b1", 64, seconds=0.5)

        served = await provider.serve(slow, quick, seconds=30)

        assert served["a1"] * 2.0 == pytest.approx(served["b1"] * 0.5, rel=0.2)
        assert served["a1"] * 2.0 + served["b1"] * 0.5 >= 0.85 * 12 * 30

    async def test_tokens_are_shared_as_tokens(self, backend: Backend) -> None:
        provider = Provider(backend, ProviderLimits(tokens_per_minute=120_000))

        served = await provider.serve(Caller("a1", 64, tokens=1_000), Caller("b1", 64, tokens=100), seconds=30)

        assert served["a1"] * 1_000 == pytest.approx(served["b1"] * 100, rel=0.2)

    async def test_a_large_call_is_not_passed_by_small_ones_for_ever(self, backend: Backend) -> None:
        provider = Provider(backend, ProviderLimits(tokens_per_minute=60_000))

        served = await provider.serve(Caller("a1", 1, tokens=10_000), Caller("b1", 64, tokens=100), seconds=60)

        assert served["a1"] * 10_000 == pytest.approx(served["b1"] * 100, rel=0.35)

    async def test_after_a_refusal_the_reduced_pace_is_shared_too(self, backend: Backend) -> None:
        await backend.throttle.refused(
            PROVIDER, job_id="j1", retry_after_seconds=0.1, calls_per_second=10, call_seconds=0
        )
        await backend.pass_time(0.2)
        provider = Provider(backend, ProviderLimits())

        served = await provider.serve(Caller("a1", 500), Caller("a2", 5), Caller("b1", 50), seconds=20)

        assert shares(served) == pytest.approx({"a1": 0.25, "a2": 0.25, "b1": 0.5}, rel=0.2)

    async def test_twenty_jobs_of_five_tenants_share_evenly_and_waste_little(self, backend: Backend) -> None:
        provider = Provider(backend, ProviderLimits(requests_per_minute=6_000))
        callers = [Caller(f"{tenant}{job}", 64) for tenant in "abcde" for job in range(4)]
        await provider.serve(*callers, seconds=1)  # whoever is first takes the burst

        served = await provider.serve(*callers, seconds=20, step_seconds=0.1)

        assert min(served.values()) >= 0.9 * served.total() / 20
        assert max(served.values()) <= 1.1 * served.total() / 20
        assert served.total() >= 0.9 * 20 * 100

    async def test_who_asks_again_too_late_keeps_nobody_waiting_for_long(self, backend: Backend) -> None:
        await taken(backend, TEN_PER_SECOND, 100, tenant="gone", job="g1")
        provider = Provider(backend, TEN_PER_SECOND)

        served = await provider.serve(Caller("a1", 64), seconds=10)

        assert served["a1"] >= 75


def shares(served: Counter[str]) -> dict[str, float]:
    return {name: calls / served.total() for name, calls in served.items()}


class TestFairnessInMemory(InMemory, FairnessContract):
    pass


class TestFairnessOnRedis(OnRedis, FairnessContract):
    pass
