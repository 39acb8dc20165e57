"""What a provider allows is never passed, whoever asks."""

import pytest

from dspy_service.domain.throttle import GRANT_SECONDS, GrantUse, ProviderLimits
from tests.contract.throttle_backends import PROVIDER, Backend, Caller, InMemory, OnRedis, Provider, a_wish, taken

NO_LIMITS = ProviderLimits()
SLOTS = ProviderLimits(max_in_flight=4)


class CallThrottleContract:
    async def test_without_limits_everything_is_granted_and_nothing_counted(self, backend: Backend) -> None:
        grant = await taken(backend, NO_LIMITS, 1_000)

        assert (grant.calls, grant.is_counted, grant.wait_seconds) == (1_000, False, 0)
        assert not await backend.throttle.pressure(PROVIDER)

    @pytest.mark.parametrize("per_minute", [1, 7, 60, 1200])
    async def test_no_minute_sees_more_requests_than_the_limit_and_nearly_all_are_used(
        self, backend: Backend, per_minute: int
    ) -> None:
        provider = Provider(backend, ProviderLimits(requests_per_minute=per_minute))

        await provider.serve(Caller("a1", 64), Caller("b1", 1), Caller("b2", 64), seconds=181, step_seconds=0.25)

        assert provider.most_in(60) <= per_minute
        assert sum(calls for _, _, calls in provider.granted) >= 3 * per_minute * 0.93

    async def test_no_minute_sees_more_tokens_than_the_limit(self, backend: Backend) -> None:
        provider = Provider(backend, ProviderLimits(tokens_per_minute=60_000))

        await provider.serve(Caller("a1", 64, tokens=500), Caller("b1", 4, tokens=500), seconds=121, step_seconds=0.25)

        assert provider.most_in(60) <= 120
        assert sum(calls for _, _, calls in provider.granted) >= 2 * 120 * 0.93

    async def test_a_call_larger_than_the_burst_goes_alone_and_is_paid_for_afterwards(self, backend: Backend) -> None:
        limits = ProviderLimits(tokens_per_minute=3_000)

        first = await taken(backend, limits, 2, tokens=2 * 1_450)
        too_soon = await taken(backend, limits, 1, tokens=1_450)
        await backend.pass_time(30)
        later = await taken(backend, limits, 1, tokens=1_450)

        assert (first.calls, too_soon.calls, later.calls) == (1, 0, 1)

    async def test_tokens_that_were_underestimated_are_paid_for_afterwards(self, backend: Backend) -> None:
        limits = ProviderLimits(tokens_per_minute=60_000)
        wish = a_wish(1, tokens=100)
        await backend.throttle.take(PROVIDER, wish, limits=limits)

        await backend.throttle.report(PROVIDER, [GrantUse(grant=wish.grant, left=0, tokens=12_000)])
        at_once = await taken(backend, limits, 1, tokens=100)
        await backend.pass_time(11)
        later = await taken(backend, limits, 1, tokens=100)

        assert (at_once.calls, later.calls) == (0, 1)

    async def test_no_endpoint_can_claim_so_many_tokens_that_nobody_is_ever_served_again(
        self, backend: Backend
    ) -> None:
        limits = ProviderLimits(tokens_per_minute=60_000)
        wish = a_wish(1, tokens=100)
        await backend.throttle.take(PROVIDER, wish, limits=limits)

        await backend.throttle.report(PROVIDER, [GrantUse(grant=wish.grant, left=0, tokens=10**15)])
        await backend.pass_time(65)

        assert (await taken(backend, limits, 1, tokens=100)).calls == 1

    async def test_tokens_that_were_overestimated_are_given_back_once(self, backend: Backend) -> None:
        limits = ProviderLimits(tokens_per_minute=60_000)
        wish = a_wish(1, tokens=2_000)
        await backend.throttle.take(PROVIDER, wish, limits=limits)
        use = GrantUse(grant=wish.grant, left=0, tokens=1_500)

        await backend.throttle.report(PROVIDER, [use])
        await backend.throttle.report(PROVIDER, [use])
        grant = await taken(backend, limits, 20, tokens=2_000)

        assert 5 <= grant.calls <= 6

    async def test_no_more_calls_are_in_flight_than_allowed(self, backend: Backend) -> None:
        first = await taken(backend, SLOTS, 3)
        second = await taken(backend, SLOTS, 3, job="j2")
        third = await taken(backend, SLOTS, 1)

        assert [grant.calls for grant in (first, second, third)] == [3, 1, 0]
        assert first.is_counted
        assert 0 < second.wait_seconds <= 1

    async def test_calls_that_have_ended_make_room_and_only_once(self, backend: Backend) -> None:
        wish = a_wish(4)
        await backend.throttle.take(PROVIDER, wish, limits=SLOTS)
        two_have_ended = GrantUse(grant=wish.grant, left=2)

        await backend.throttle.report(PROVIDER, [two_have_ended])
        await backend.throttle.report(PROVIDER, [two_have_ended])

        assert (await taken(backend, SLOTS, 10)).calls == 2

    async def test_a_report_that_comes_late_does_not_bring_calls_back(self, backend: Backend) -> None:
        wish = a_wish(4)
        await backend.throttle.take(PROVIDER, wish, limits=SLOTS)

        await backend.throttle.report(PROVIDER, [GrantUse(grant=wish.grant, left=1)])
        await backend.throttle.report(PROVIDER, [GrantUse(grant=wish.grant, left=3)])
        await backend.throttle.report(PROVIDER, [GrantUse(grant="never heard of", left=0, tokens=7)])

        assert (await taken(backend, SLOTS, 10)).calls == 3

    async def test_a_dead_workers_calls_make_room_after_a_while(self, backend: Backend) -> None:
        await taken(backend, SLOTS, 4)

        await backend.pass_time(GRANT_SECONDS - 1)
        before = await taken(backend, SLOTS, 4)
        await backend.pass_time(1.1)
        after = await taken(backend, SLOTS, 4)

        assert (before.calls, after.calls) == (0, 4)

    async def test_a_call_that_takes_long_stays_counted_as_long_as_somebody_says_so(self, backend: Backend) -> None:
        wish = a_wish(4)
        await backend.throttle.take(PROVIDER, wish, limits=SLOTS)

        for _ in range(4):
            await backend.pass_time(GRANT_SECONDS - 1)
            await backend.throttle.report(PROVIDER, [GrantUse(grant=wish.grant, left=4)])

        assert (await taken(backend, SLOTS, 1)).calls == 0

    async def test_a_wish_whose_answer_was_lost_is_granted_once(self, backend: Backend) -> None:
        wish = a_wish(3)

        first = await backend.throttle.take(PROVIDER, wish, limits=SLOTS)
        again = await backend.throttle.take(PROVIDER, wish, limits=SLOTS)

        assert (first.calls, again.calls, again.is_counted) == (3, 3, True)
        assert (await taken(backend, SLOTS, 4)).calls == 1

    async def test_providers_do_not_share_their_limits(self, backend: Backend) -> None:
        await taken(backend, SLOTS, 4)

        other = await backend.throttle.take("anthropic:1", a_wish(4), limits=SLOTS)

        assert other.calls == 4


class TestThrottleInMemory(InMemory, CallThrottleContract):
    pass


class TestThrottleOnRedis(OnRedis, CallThrottleContract):
    pass
