"""What runs cost is counted when they end: once, whoever ends them, and as their own records say."""

from datetime import timedelta

import pytest
import redis.asyncio as redis

from dspy_service.domain.serving.run import RunStatus
from dspy_service.domain.serving.usage import UsageEntry, UsageFigure
from tests.contract.run_backends import (
    RedisRunBackend,
    RunBackend,
    RunsInMemory,
    RunsOnRedis,
    RunsOnRedisWithLostReplies,
)
from tests.support.run_samples import a_token, in_progress, queued, taken
from tests.support.usage_samples import FREE, a_run_of, a_usage, counted, ended, ends, told

KEY = "0123456789abcdef"
DAY_SECONDS = 86_400
ONE_CALL = {
    UsageFigure.CALLS: 1,
    UsageFigure.PROMPT_TOKENS: 10,
    UsageFigure.COMPLETION_TOKENS: 3,
    UsageFigure.COST_NANO_USD: 1_000_000,
}


class UsageContract:
    async def test_a_run_is_counted_for_its_program_version_key_and_day(self, backend: RunBackend) -> None:
        run = await ended(backend.store, a_run_of("qa", 3, key_id=KEY), a_usage())

        assert run.completed_at is not None
        day = run.completed_at.date()
        found = await backend.store.usage("local", first=day, last=day)
        assert found == [UsageEntry(day, "qa", 3, KEY, {UsageFigure.COMPLETED: 1, **ONE_CALL})]

    async def test_programs_versions_and_keys_are_counted_apart(self, backend: RunBackend) -> None:
        for new in (a_run_of(), a_run_of(version=2), a_run_of("other"), a_run_of(key_id=KEY), a_run_of()):
            run = await ended(backend.store, new, a_usage())

        assert run.completed_at is not None
        day = run.completed_at.date()
        found = await backend.store.usage("local", first=day - timedelta(days=1), last=day)
        assert {(each.program, each.version, each.key_id) for each in found} == {
            ("qa", 1, None),
            ("qa", 2, None),
            ("other", 1, None),
            ("qa", 1, KEY),
        }
        assert (await counted(backend.store, run))[UsageFigure.COMPLETED] == 5

    @pytest.mark.parametrize("status", [each for each in RunStatus if each.is_terminal])
    async def test_a_run_counts_by_how_it_ended_and_costs_the_same(
        self, backend: RunBackend, status: RunStatus
    ) -> None:
        run = await ended(backend.store, usage=a_usage(), status=status)

        assert await counted(backend.store, run) == {UsageFigure(status): 1, **ONE_CALL}

    async def test_an_end_that_is_told_twice_counts_once(self, backend: RunBackend) -> None:
        run = await ended(backend.store, usage=a_usage())

        await backend.store.finish(run.run_id, fence=run.fence, outcome=ends(usage=a_usage(calls=7)), facts=[])
        await backend.store.cancel(run.run_id, reason="asked")
        await backend.store.reap(lease_seconds=0)

        assert await counted(backend.store, run) == {UsageFigure.COMPLETED: 1, **ONE_CALL}

    async def test_a_cached_answer_costs_nothing_and_is_counted_as_one(self, backend: RunBackend) -> None:
        run = await ended(backend.store, usage=a_usage(calls=0, cached=1))

        assert await counted(backend.store, run) == {UsageFigure.COMPLETED: 1, **FREE}

    async def test_a_call_without_a_price_is_counted_and_is_in_no_sum_of_money(self, backend: RunBackend) -> None:
        await ended(backend.store, usage=a_usage())
        run = await ended(backend.store, usage=a_usage(cost_usd=None))

        figures = await counted(backend.store, run)
        assert (figures[UsageFigure.CALLS], figures[UsageFigure.UNPRICED_CALLS]) == (2, 1)
        assert figures[UsageFigure.COST_NANO_USD] == 1_000_000

    async def test_sums_of_money_are_exact(self, backend: RunBackend) -> None:
        for _ in range(10):
            run = await ended(backend.store, usage=a_usage(cost_usd=0.1))

        assert (await counted(backend.store, run))[UsageFigure.COST_NANO_USD] == 1_000_000_000

    async def test_a_lost_run_is_counted_with_what_its_worker_has_told(self, backend: RunBackend) -> None:
        lost = await in_progress(backend.store, a_run_of())
        await backend.store.append(lost.run_id, fence=1, facts=[a_token("x"), told(a_usage())], batch=1)
        await backend.store.append(lost.run_id, fence=1, facts=[a_token("y")], batch=2)

        await backend.let_time_pass(16)
        await backend.store.reap(lease_seconds=0)

        run = await backend.store.get(lost.run_id)
        assert (run.status, run.usage) == (RunStatus.FAILED, a_usage())
        assert await counted(backend.store, run) == {UsageFigure.FAILED: 1, **ONE_CALL}

    async def test_a_run_that_is_given_up_is_counted_with_what_it_cost(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store, a_run_of())
        await backend.store.append(run.run_id, fence=1, facts=[a_token("x"), told(a_usage())], batch=1)

        run = await backend.store.release(run.run_id, fence=1)

        assert await counted(backend.store, run) == {UsageFigure.FAILED: 1, **ONE_CALL}

    async def test_a_run_that_was_given_back_counts_once_at_its_end(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store, a_run_of())
        await backend.store.append(run.run_id, fence=1, facts=[told(a_usage())], batch=1)
        await backend.store.release(run.run_id, fence=1)
        again = await taken(backend.store, run)

        run = await backend.store.finish(run.run_id, fence=again.fence, outcome=ends(usage=a_usage()), facts=[])

        assert await counted(backend.store, run) == {UsageFigure.COMPLETED: 1, **ONE_CALL}

    async def test_a_run_that_is_cancelled_in_the_queue_is_counted_and_costs_nothing(self, backend: RunBackend) -> None:
        run = await queued(backend.store, a_run_of())

        run = await backend.store.cancel(run.run_id, reason="asked")

        assert await counted(backend.store, run) == {UsageFigure.CANCELLED: 1}

    async def test_a_run_that_goes_on_is_not_counted_yet(self, backend: RunBackend) -> None:
        live = await in_progress(backend.store, a_run_of())
        await backend.store.append(live.run_id, fence=1, facts=[told(a_usage())], batch=1)

        run = await ended(backend.store, a_run_of("other"))

        assert await counted(backend.store, run) == {UsageFigure.COMPLETED: 1}

    async def test_each_tenant_has_its_own_and_the_totals_are_of_all(self, backend: RunBackend) -> None:
        mine = await ended(backend.store, a_run_of(tenant="one"), a_usage())
        other = await ended(backend.store, a_run_of(tenant="other"), a_usage(calls=2))

        assert (await counted(backend.store, mine))[UsageFigure.CALLS] == 1
        assert (await counted(backend.store, other))[UsageFigure.CALLS] == 2
        totals = await backend.store.usage_totals()
        assert (totals[UsageFigure.CALLS], totals[UsageFigure.COMPLETED]) == (3, 2)

    async def test_days_are_counted_apart(self, backend: RunBackend) -> None:
        await ended(backend.store, usage=a_usage())
        await backend.let_time_pass(40 * DAY_SECONDS)
        run = await ended(backend.store, usage=a_usage(calls=2))

        assert run.completed_at is not None
        today = run.completed_at.date()
        found = await backend.store.usage("local", first=today - timedelta(days=40), last=today)
        earlier = await backend.store.usage("local", first=today - timedelta(days=45), last=today - timedelta(days=1))
        calls = {entry.day: entry.figures[UsageFigure.CALLS] for entry in found}
        assert calls == {today - timedelta(days=40): 1, today: 2}
        assert [entry.day for entry in earlier] == [today - timedelta(days=40)]

    async def test_a_day_is_forgotten_in_the_end_and_the_totals_are_not(self, backend: RunBackend) -> None:
        run = await ended(backend.store, usage=a_usage())
        await backend.let_time_pass(401 * DAY_SECONDS)

        assert run.completed_at is not None
        now = run.completed_at.date()
        assert not await backend.store.usage("local", first=now - timedelta(days=402), last=now)
        assert (await backend.store.usage_totals())[UsageFigure.CALLS] == 1


class TestInMemory(RunsInMemory, UsageContract):
    pass


class TestOnRedis(RunsOnRedis, UsageContract):
    async def test_only_days_leave_by_themselves(self, backend: RedisRunBackend, raw_redis: redis.Redis) -> None:
        await ended(backend.store, usage=a_usage())

        [day] = await raw_redis.keys("{dspy}:runs:usage:local:*")
        assert 399 * DAY_SECONDS < await raw_redis.ttl(day) <= 400 * DAY_SECONDS
        assert await raw_redis.ttl("{dspy}:runs:totals") == -1

    async def test_absurd_numbers_of_a_provider_do_not_keep_a_run_from_ending(self, backend: RedisRunBackend) -> None:
        run = await ended(backend.store, usage=a_usage(calls=10**30))

        assert run.status is RunStatus.COMPLETED
        assert await counted(backend.store, run) == {UsageFigure.COMPLETED: 1, UsageFigure.COST_NANO_USD: 1_000_000}

    async def test_a_run_that_an_older_release_made_ends_and_is_not_counted(
        self, backend: RedisRunBackend, raw_redis: redis.Redis
    ) -> None:
        run = await in_progress(backend.store, a_run_of())
        await raw_redis.hdel(f"{{dspy}}:run:{run.run_id}", "account", "keep_usage")

        run = await backend.store.finish(run.run_id, fence=1, outcome=ends(usage=a_usage()), facts=[])

        assert (run.status, await counted(backend.store, run)) == (RunStatus.COMPLETED, {})

    async def test_what_a_newer_release_counts_is_left_out(
        self, backend: RedisRunBackend, raw_redis: redis.Redis
    ) -> None:
        run = await ended(backend.store)
        [day] = await raw_redis.keys("{dspy}:runs:usage:local:*")
        await raw_redis.hset(day, "qa:1::smells", 4)
        await raw_redis.hset("{dspy}:runs:totals", "smells", 4)

        assert await counted(backend.store, run) == {UsageFigure.COMPLETED: 1}
        assert await backend.store.usage_totals() == {UsageFigure.COMPLETED: 1}


class TestOnRedisWithLostReplies(RunsOnRedisWithLostReplies, UsageContract):
    pass
