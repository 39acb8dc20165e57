"""Who is next: first the tenant that has least, then what matters more, then who waits longest."""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis.asyncio as redis

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.job import Claim, Job, Wish
from dspy_service.domain.queue import Place, QueueFigures
from dspy_service.ports import JobStore
from tests.contract.job_backends import (
    Backend,
    InMemory,
    OnRedis,
    RedisBackend,
    a_job_of,
    claim_next,
    claimed,
    running,
    submitted,
)
from tests.support.job_samples import FAILED, OUTCOME


async def submit_for(store: JobStore, tenants: str, *, priority: int = 5) -> list[Job]:
    return [await submitted(store, a_job_of(tenant, priority=priority)) for tenant in tenants]


async def served_tenants(backend: Backend, count: int, *, ends: bool) -> str:
    """Claim so many jobs one after the other, and return whose they were."""
    tenants = ""
    for _ in range(count):
        await backend.let_time_pass(0.001)
        claim = await claim_next(backend.store)
        tenants += claim.job.tenant
        if ends:
            await backend.store.finish(claim.job.job_id, fence=claim.fence, outcome=FAILED)
    return tenants


class QueueContract:
    async def test_nobody_is_next_in_an_empty_queue(self, backend: Backend) -> None:
        assert await backend.store.next_job() is None

    async def test_asking_who_is_next_changes_nothing(self, backend: Backend) -> None:
        first, _ = await submit_for(backend.store, "aa")

        answers = [await backend.store.next_job() for _ in range(3)]

        assert answers == [first.job_id] * 3
        assert await backend.store.get(first.job_id) == first

    async def test_inside_a_tenant_priority_comes_first_and_then_the_longest_wait(self, backend: Backend) -> None:
        low, *middle = await submit_for(backend.store, "a", priority=0) + await submit_for(backend.store, "aa")
        [high] = await submit_for(backend.store, "a", priority=9)

        order = [(await claim_next(backend.store)).job.job_id for _ in range(4)]

        assert order == [job.job_id for job in (high, *middle, low)]

    async def test_a_tenant_with_fewer_running_jobs_comes_first(self, backend: Backend) -> None:
        await submit_for(backend.store, "aaaabb")

        tenants = await served_tenants(backend, 6, ends=False)

        assert tenants == "ababaa"

    async def test_among_equals_the_tenant_that_was_served_longest_ago_comes_first(self, backend: Backend) -> None:
        await submit_for(backend.store, "aaabbbccc")

        tenants = await served_tenants(backend, 9, ends=True)

        assert tenants == "abcabcabc"

    async def test_priority_gives_no_tenant_an_advantage_over_another(self, backend: Backend) -> None:
        await submit_for(backend.store, "bb", priority=0)
        await submit_for(backend.store, "aa", priority=9)

        tenants = await served_tenants(backend, 4, ends=False)

        assert tenants == "baba"

    async def test_a_tenant_that_runs_as_many_as_it_may_is_passed_over(self, backend: Backend) -> None:
        await submit_for(backend.store, "aaab")
        claims = [await claim_next(backend.store, tenant_running_jobs=2) for _ in range(3)]

        full = await backend.store.next_job(tenant_running_jobs=2)
        await backend.store.finish(claims[0].job.job_id, fence=1, outcome=FAILED)
        free = await backend.store.next_job(tenant_running_jobs=2)

        assert [claim.job.tenant for claim in claims] == ["a", "b", "a"]
        assert (full, free is not None) == (None, True)

    async def test_only_a_job_that_waits_is_next(self, backend: Backend) -> None:
        paused, cancelled, resumed, waiting = await submit_for(backend.store, "aaaa")
        await backend.store.wish(cancelled.job_id, Wish.CANCEL)
        await backend.store.wish(paused.job_id, Wish.PAUSE)
        await backend.store.wish(resumed.job_id, Wish.PAUSE)
        await backend.let_time_pass(0.001)
        await backend.store.wish(resumed.job_id, Wish.GO_ON)

        order = [(await claim_next(backend.store)).job.job_id for _ in range(2)]

        assert set(order) == {waiting.job_id, resumed.job_id}
        assert await backend.store.next_job() is None

    async def test_a_job_that_is_handed_back_is_next_again(self, backend: Backend) -> None:
        claim = await running(backend.store)

        await backend.store.release(claim.job.job_id, fence=claim.fence)

        assert await backend.store.next_job() == claim.job.job_id

    async def test_a_waiting_job_has_a_place_among_those_of_its_tenant(self, backend: Backend) -> None:
        await submit_for(backend.store, "bb")
        low, *others = await submit_for(backend.store, "a", priority=0) + await submit_for(backend.store, "aa")
        held = await claimed(backend.store, a_job_of("a", priority=9))

        places = [await backend.store.place(job.job_id) for job in (*others, low)]

        assert places == [Place(position=position, tenant_running=1) for position in (1, 2, 3)]
        assert await backend.store.place(held.job.job_id) is None

    async def test_what_does_not_wait_has_no_place(self, backend: Backend) -> None:
        [paused] = await submit_for(backend.store, "a")
        await backend.store.wish(paused.job_id, Wish.PAUSE)
        ended = await running(backend.store)
        await backend.store.finish(ended.job.job_id, fence=1, outcome=OUTCOME)

        for job_id in (paused.job_id, ended.job.job_id, "nobody"):
            assert await backend.store.place(job_id) is None

    async def test_an_idle_service_has_only_noughts_as_figures(self, backend: Backend) -> None:
        assert await backend.store.figures() == QueueFigures(waiting=0, running=0, oldest_waiting_seconds=0)

    async def test_the_figures_count_the_jobs_of_all_tenants(self, backend: Backend) -> None:
        await submit_for(backend.store, "aab")
        await submit_for(backend.store, "a", priority=9)
        await claim_next(backend.store)
        ended = await claim_next(backend.store)
        await backend.store.finish(ended.job.job_id, fence=1, outcome=FAILED)

        figures = await backend.store.figures()

        assert (figures.waiting, figures.running) == (2, 1)

    async def test_the_oldest_wait_is_that_of_any_tenant_and_any_priority(self, backend: Backend) -> None:
        for tenant, priority in (("b", 9), ("a", 5), ("a", 0), ("a", 5), ("c", 9)):
            await submit_for(backend.store, tenant, priority=priority)
            await backend.let_time_pass(60)
        await claim_next(backend.store)  # the one that waits longest

        figures = await backend.store.figures()

        assert figures.oldest_waiting_seconds == pytest.approx(240, abs=5)


class TestQueueInMemory(InMemory, QueueContract):
    pass


class TestQueueOnRedis(OnRedis, QueueContract):
    async def test_entries_of_jobs_that_do_not_wait_are_taken_out(
        self, backend: RedisBackend, raw_redis: redis.Redis
    ) -> None:
        [waiting] = await submit_for(backend.store, "a")
        held = await claimed(backend.store, a_job_of("a"))
        await raw_redis.zadd("{dspy}:waiting:a", {held.job.job_id: 1, "gone": 2})
        await raw_redis.zadd("{dspy}:waiting:b", {"gone": 3})
        await raw_redis.sadd("{dspy}:waiting", "b", "c")

        job_id = await backend.store.next_job()

        assert job_id == waiting.job_id
        assert await raw_redis.zrange("{dspy}:waiting:a", 0, -1) == [waiting.job_id]
        assert await raw_redis.smembers("{dspy}:waiting") == {"a"}

    @pytest.mark.parametrize("seed", range(5))
    async def test_redis_and_memory_serve_in_the_same_order(self, backend: RedisBackend, seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311  # the same steps each time, no secret
        ticks = _ticks()
        twin = MemoryJobStore(clock=lambda: next(ticks))
        held: list[Claim] = []

        for _ in range(120):
            limit = draw.choice((0, 1, 3))
            match draw.choice(("submit", "submit", "claim", "claim", "finish", "release")):
                case "submit":
                    new = a_job_of(draw.choice("abcde"), priority=draw.choice((0, 5, 5, 9)))
                    await backend.store.create(new)
                    await twin.create(new)
                case "claim" if await backend.store.next_job(tenant_running_jobs=limit) is not None:
                    claim = await claim_next(backend.store, tenant_running_jobs=limit)
                    assert await claim_next(twin, tenant_running_jobs=limit) == claim.model_copy(
                        update={"job": await twin.get(claim.job.job_id)}
                    )
                    held.append(claim)
                case "finish" if held:
                    ending = held.pop(draw.randrange(len(held)))
                    for store in (backend.store, twin):
                        await store.finish(ending.job.job_id, fence=ending.fence, outcome=FAILED)
                case "release" if held:
                    back = held.pop(draw.randrange(len(held)))
                    for store in (backend.store, twin):
                        await store.release(back.job.job_id, fence=back.fence)
            assert await backend.store.next_job(tenant_running_jobs=limit) == await twin.next_job(
                tenant_running_jobs=limit
            )


def _ticks() -> Iterator[datetime]:
    start = datetime(2026, 1, 2, tzinfo=UTC)
    return (start + timedelta(milliseconds=n) for n in itertools.count())
