"""A refusal of the provider slows everybody down, for as long as it must."""

import pytest

from dspy_service.domain.throttle import PRESSURE_SECONDS, ProviderLimits
from tests.contract.throttle_backends import PROVIDER, Backend, Caller, InMemory, OnRedis, Provider, taken

NO_LIMITS = ProviderLimits()


async def refused(
    backend: Backend, *, retry_after: float | None = None, calls_per_second: float = 10.0, call_seconds: float = 0.0
) -> None:
    await backend.throttle.refused(
        PROVIDER,
        job_id="j1",
        retry_after_seconds=retry_after,
        calls_per_second=calls_per_second,
        call_seconds=call_seconds,
    )


class RefusalContract:
    async def test_after_a_refusal_everybody_waits_as_long_as_the_provider_asks(self, backend: Backend) -> None:
        await refused(backend, retry_after=20)

        at_once = await taken(backend, NO_LIMITS, 1, tenant="other")
        await backend.pass_time(19)
        before = await taken(backend, NO_LIMITS, 1)
        await backend.pass_time(1.1)
        after = await taken(backend, NO_LIMITS, 1)

        assert (at_once.calls, before.calls, after.calls) == (0, 0, 1)
        assert at_once.wait_seconds > 1
        assert await backend.throttle.pressure(PROVIDER)

    async def test_without_a_time_the_waits_double_from_refusal_to_refusal_up_to_ten_seconds(
        self, backend: Backend
    ) -> None:
        waits = []
        for _ in range(6):
            await refused(backend, call_seconds=1.05)  # begun just after the last one was let through
            begun = backend.now()
            while (await taken(backend, NO_LIMITS, 1)).calls == 0:
                await backend.pass_time(0.25)
            waits.append(backend.now() - begun)
            await backend.pass_time(1.1)

        assert waits == pytest.approx([1, 2, 4, 8, 10, 10], abs=0.3)

    async def test_refusals_of_calls_that_were_under_way_together_are_one(self, backend: Backend) -> None:
        for _ in range(8):
            await refused(backend, retry_after=2, calls_per_second=10, call_seconds=1)
            await backend.pass_time(0.1)
        await backend.pass_time(2)
        provider = Provider(backend, NO_LIMITS)

        served = await provider.serve(Caller("a1", 64), seconds=10)

        assert served["a1"] == pytest.approx(62, abs=8)

    async def test_after_a_refusal_one_call_goes_alone_and_the_others_are_told_why_they_wait(
        self, backend: Backend
    ) -> None:
        await refused(backend, retry_after=2)
        silent = await taken(backend, NO_LIMITS, 5)
        await backend.pass_time(2.01)

        probe = await taken(backend, NO_LIMITS, 5)
        others = await taken(backend, NO_LIMITS, 5, job="j2")

        assert (silent.calls, silent.refusals) == (0, 1)
        assert silent.silence_seconds == pytest.approx(2, abs=0.1)
        assert (probe.calls, others.calls) == (1, 0)
        assert 0 < others.silence_seconds <= 1

    async def test_a_refused_pace_is_halved_and_comes_back_in_ten_seconds_and_is_free_soon(
        self, backend: Backend
    ) -> None:
        provider, caller = Provider(backend, NO_LIMITS), Caller("a1", 1_000)
        await refused(backend, retry_after=1, calls_per_second=10)
        await backend.pass_time(1)

        at_first = (await provider.serve(caller, seconds=6))["a1"]
        then = (await provider.serve(caller, seconds=6))["a1"]
        await backend.pass_time(35)
        in_the_end = await taken(backend, NO_LIMITS, 200)

        assert at_first == pytest.approx(33, abs=6)
        assert then == pytest.approx(54, abs=7)
        assert in_the_end.calls == 200

    async def test_a_pace_that_is_refused_after_a_probe_went_well_is_cut_and_grows_again_late(
        self, backend: Backend
    ) -> None:
        provider, caller = Provider(backend, NO_LIMITS), Caller("a1", 1_000)
        await refused(backend, retry_after=1, calls_per_second=10)
        await backend.pass_time(1)
        await provider.serve(caller, seconds=4)

        await refused(backend, retry_after=1, calls_per_second=10, call_seconds=0.1)
        await backend.pass_time(11)
        await provider.serve(caller, seconds=12)
        served = (await provider.serve(caller, seconds=10))["a1"]
        await backend.pass_time(130)
        in_the_end = await taken(backend, NO_LIMITS, 200)

        assert 20 <= served <= 45
        assert in_the_end.calls == 200

    async def test_the_pace_to_come_back_to_is_that_of_all_jobs_together(self, backend: Backend) -> None:
        for job in ("j1", "j2", "j2"):
            await backend.throttle.refused(
                PROVIDER, job_id=job, retry_after_seconds=1, calls_per_second=10, call_seconds=1
            )
        await backend.pass_time(1)

        served = await Provider(backend, NO_LIMITS).serve(Caller("a1", 1_000), seconds=6)

        assert served["a1"] == pytest.approx(66, abs=10)

    async def test_pressure_ends_when_nobody_was_refused_for_a_while(self, backend: Backend) -> None:
        await refused(backend, retry_after=1)

        await backend.pass_time(PRESSURE_SECONDS)
        before = await backend.throttle.pressure(PROVIDER)
        await backend.pass_time(1.5)

        assert before
        assert not await backend.throttle.pressure(PROVIDER)

    async def test_no_provider_can_make_everybody_wait_for_a_day(self, backend: Backend) -> None:
        await refused(backend, retry_after=86_400)

        await backend.pass_time(61)

        assert (await taken(backend, NO_LIMITS, 1)).calls == 1

    async def test_limits_that_the_operator_set_too_high_are_found_by_refusals(self, backend: Backend) -> None:
        limits, caller = ProviderLimits(requests_per_minute=6_000), Caller("a1", 1_000)
        provider = Provider(backend, limits)
        await provider.serve(caller, seconds=30, step_seconds=0.2)

        await refused(backend, retry_after=1, calls_per_second=0)
        await backend.pass_time(1)
        served = (await provider.serve(caller, seconds=6))["a1"]

        assert served < 0.65 * 6 * 100


class TestRefusalsInMemory(InMemory, RefusalContract):
    @pytest.mark.parametrize("window_seconds", [1, 60])
    @pytest.mark.parametrize("retry_after", [None, 5.0])
    async def test_a_limit_that_nobody_named_is_found_with_few_refusals(
        self, backend: Backend, window_seconds: int, retry_after: float | None
    ) -> None:
        per_second, seconds, step_seconds = 5.0, 600, 0.1
        room = most = per_second * window_seconds
        answered = refusals = 0
        asks_at = backend.now()

        for _ in range(int(seconds / step_seconds)):
            room = min(most, room + per_second * step_seconds)
            if backend.now() >= asks_at:
                grant = await taken(backend, NO_LIMITS, 64)
                asks_at = backend.now() + grant.wait_seconds
                served = min(grant.calls, int(room))
                room -= served
                answered += served
                for _ in range(grant.calls - served):
                    refusals += 1
                    await refused(backend, retry_after=retry_after, calls_per_second=0, call_seconds=0.05)
            await backend.pass_time(step_seconds)

        assert answered >= 0.55 * per_second * seconds
        assert refusals <= 0.05 * answered + 64


class TestRefusalsOnRedis(OnRedis, RefusalContract):
    pass
