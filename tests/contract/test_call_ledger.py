"""Counters of language model calls: each report counts once, whoever sends it again."""

from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from dspy_service.adapters.memory import MemoryCallLedger
from dspy_service.adapters.redis.call_ledger import RedisCallLedger
from dspy_service.domain.call_counts import CallCount, CallFigure
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.ports import CallLedger

CALLS = CallCount(CallFigure.ANSWERED, "task")
COST = CallCount(CallFigure.COST_NANO_USD, "prompt")
LIMITS = CallCount(CallFigure.RATE_LIMITS)


class CallLedgerContract:
    async def test_an_empty_one_has_no_counters(self, ledger: CallLedger) -> None:
        assert await ledger.totals() == {}

    async def test_reports_of_all_are_added_up(self, ledger: CallLedger) -> None:
        await ledger.add("j1:1", 1, {CALLS: 3, LIMITS: 1})
        await ledger.add("j1:1", 2, {CALLS: 4, COST: 10**18})
        await ledger.add("j2:1", 1, {CALLS: 1, COST: 1})

        assert await ledger.totals() == {CALLS: 8, LIMITS: 1, COST: 10**18 + 1}

    async def test_a_report_that_is_sent_again_counts_once(self, ledger: CallLedger) -> None:
        await ledger.add("j1:1", 1, {CALLS: 3})
        await ledger.add("j1:1", 2, {CALLS: 4})

        await ledger.add("j1:1", 2, {CALLS: 4})
        await ledger.add("j1:1", 1, {CALLS: 3})

        assert await ledger.totals() == {CALLS: 7}


class TestLedgerInMemory(CallLedgerContract):
    @pytest.fixture
    def ledger(self) -> MemoryCallLedger:
        return MemoryCallLedger()


class TestLedgerOnRedis(CallLedgerContract):
    @pytest.fixture
    async def ledger(self, redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisCallLedger]:  # noqa: ARG002  # empties it
        ledger = RedisCallLedger(redis_url)
        yield ledger
        await ledger.aclose()

    async def test_what_is_kept_of_a_reporter_goes_by_itself(self, ledger: CallLedger, raw_redis: redis.Redis) -> None:
        await ledger.add("j1:1", 1, {CALLS: 3})

        assert 0 < await raw_redis.ttl("{dspy}:lm_counts:j1:1") <= 3600
        assert await raw_redis.ttl("{dspy}:lm_counts") == -1

    async def test_what_a_newer_release_counts_is_left_out(self, ledger: CallLedger, raw_redis: redis.Redis) -> None:
        await raw_redis.hset("{dspy}:lm_counts", mapping={"answered:task": 3, "smelled:task": 4})

        assert await ledger.totals() == {CALLS: 3}

    async def test_without_redis_it_says_so(self) -> None:
        ledger = RedisCallLedger("redis://127.0.0.1:1/0")

        with pytest.raises(StoreUnavailableError):
            await ledger.totals()

        await ledger.aclose()
