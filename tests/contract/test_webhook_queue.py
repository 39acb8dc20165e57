"""Whoever asked to be told of an end is told until it worked, by one teller at a time."""

import pytest
import redis.asyncio as redis

from dspy_service.domain.job import JobStatus, NewJob, Outcome, Wish
from dspy_service.domain.webhook import Delivery, Webhook
from dspy_service.ports import JobStore
from tests.contract.job_backends import Backend, InMemory, OnRedis, RedisBackend, running, submitted, taken
from tests.support.job_samples import OUTCOME, a_new_job, a_spec

FAILED = Outcome(status=JobStatus.FAILED, termination_reason="error", message="the metric raised")
HOOK = Webhook(url="https://example.com/hook")


def a_job() -> NewJob:
    return a_new_job(spec=a_spec(webhook=HOOK))


async def ended(store: JobStore, outcome: Outcome = OUTCOME) -> str:
    claim = await running(store, a_job())
    await store.finish(claim.job.job_id, fence=1, outcome=outcome)
    return claim.job.job_id


async def due(store: JobStore, *, lease_seconds: float = 30) -> list[Delivery]:
    return await store.due_deliveries(lease_seconds=lease_seconds)


class WebhookQueueContract:
    async def test_an_end_is_told_once_it_is_there(self, backend: Backend) -> None:
        claim = await running(backend.store, a_job())
        before = await due(backend.store)

        job = await backend.store.finish(claim.job.job_id, fence=1, outcome=OUTCOME)
        [delivery] = await due(backend.store)

        assert before == []
        assert delivery == Delivery(delivery_id=f"msg_{job.job_id}_{job.last_seq}", job_id=job.job_id, tries=0)

    async def test_nothing_is_told_of_a_job_without_a_webhook(self, backend: Backend) -> None:
        claim = await running(backend.store)
        await backend.store.finish(claim.job.job_id, fence=1, outcome=OUTCOME)

        assert await due(backend.store) == []

    async def test_every_way_to_end_is_told(self, backend: Backend) -> None:
        succeeded, failed = await ended(backend.store), await ended(backend.store, FAILED)
        cancelled = (await submitted(backend.store, a_job())).job_id
        await backend.store.wish(cancelled, Wish.CANCEL)
        lost = (await running(backend.store, a_job())).job.job_id
        await backend.let_time_pass(60)
        await backend.store.reap(lease_seconds=0, max_losses=1)

        deliveries = await due(backend.store)

        assert {delivery.job_id for delivery in deliveries} == {succeeded, failed, cancelled, lost}

    async def test_a_delivery_belongs_to_one_teller_until_its_lease_ends(self, backend: Backend) -> None:
        await ended(backend.store)
        [first] = await due(backend.store)

        await backend.let_time_pass(29)
        meanwhile = await due(backend.store)
        await backend.let_time_pass(2)
        [again] = await due(backend.store)

        assert meanwhile == []
        assert (again.delivery_id, again.tries) == (first.delivery_id, 0)

    async def test_what_was_delivered_is_forgotten(self, backend: Backend) -> None:
        await ended(backend.store)
        [delivery] = await due(backend.store)

        for _ in range(2):
            await backend.store.delivered(delivery.delivery_id)
        await backend.store.put_off(delivery.delivery_id, seconds=0)
        await backend.let_time_pass(3600)

        assert await due(backend.store) == []

    async def test_a_delivery_that_failed_comes_back_after_its_pause_and_is_counted(self, backend: Backend) -> None:
        await ended(backend.store)
        [delivery] = await due(backend.store)

        for tries in (1, 2, 3):
            await backend.store.put_off(delivery.delivery_id, seconds=60)
            await backend.let_time_pass(59)
            early = await due(backend.store)
            await backend.let_time_pass(2)
            [late] = await due(backend.store)

            assert (early, late.delivery_id, late.tries) == ([], delivery.delivery_id, tries)

    async def test_a_try_that_is_put_off_twice_counts_once(self, backend: Backend) -> None:
        await ended(backend.store)
        [delivery] = await due(backend.store)

        for _ in range(2):
            await backend.store.put_off(delivery.delivery_id, seconds=0)
        await backend.let_time_pass(1)
        [again] = await due(backend.store)

        assert again.tries == 1

    async def test_why_nobody_was_told_stands_in_the_record(self, backend: Backend) -> None:
        job = await backend.store.get(await ended(backend.store))
        [delivery] = await due(backend.store)
        shown = [job.webhook_problem]

        for _ in range(2):
            await backend.store.put_off(delivery.delivery_id, seconds=0, problem="it was not reached")
        shown.append((await backend.store.get(job.job_id)).webhook_problem)
        await backend.store.settle(job.job_id, fence=job.fence, archived_seq=job.last_seq)
        shown.append((await backend.store.get(job.job_id)).webhook_problem)
        await backend.store.delivered(delivery.delivery_id, problem="given up")
        shown.append((await backend.store.get(job.job_id)).webhook_problem)

        assert shown == [None, "it was not reached", "it was not reached", "given up"]

    async def test_nothing_is_wrong_any_more_once_somebody_was_told(self, backend: Backend) -> None:
        job_id = await ended(backend.store)
        [delivery] = await due(backend.store)
        await backend.store.put_off(delivery.delivery_id, seconds=0, problem="it was not reached")

        await backend.store.delivered(delivery.delivery_id)

        assert (await backend.store.get(job_id)).webhook_problem is None

    async def test_a_retry_forgets_why_nobody_was_told(self, backend: Backend) -> None:
        job = await backend.store.get(await ended(backend.store, FAILED))
        [delivery] = await due(backend.store)
        await backend.store.delivered(delivery.delivery_id, problem="given up")
        await backend.store.settle(job.job_id, fence=job.fence, archived_seq=job.last_seq)

        again = await backend.store.reopen(job.job_id, spec=a_spec(webhook=HOOK))

        assert again.webhook_problem is None

    async def test_the_longest_due_come_first_and_a_limit_holds(self, backend: Backend) -> None:
        job_ids = []
        for _ in range(3):
            job_ids.append(await ended(backend.store))
            await backend.let_time_pass(1)

        first = await backend.store.due_deliveries(lease_seconds=30, limit=2)
        second = await backend.store.due_deliveries(lease_seconds=30, limit=2)

        assert [[delivery.job_id for delivery in some] for some in (first, second)] == [job_ids[:2], job_ids[2:]]

    async def test_a_job_that_is_opened_again_has_nothing_to_tell_until_its_next_end(self, backend: Backend) -> None:
        job_id = await ended(backend.store, FAILED)
        [first] = await due(backend.store)
        await backend.store.put_off(first.delivery_id, seconds=0)
        job = await backend.store.get(job_id)
        await backend.store.settle(job_id, fence=job.fence, archived_seq=job.last_seq)
        await backend.store.reopen(job_id, spec=a_spec(webhook=HOOK))
        await backend.let_time_pass(3600)
        meanwhile = await due(backend.store)
        claim = await taken(backend.store, job)
        await backend.store.finish(job_id, fence=claim.fence, outcome=FAILED)

        [second] = await due(backend.store)

        assert meanwhile == []
        assert second.delivery_id != first.delivery_id
        assert second.tries == 0

    async def test_a_late_word_about_an_earlier_end_changes_nothing(self, backend: Backend) -> None:
        job_id = await ended(backend.store, FAILED)
        [first] = await due(backend.store)
        job = await backend.store.get(job_id)
        await backend.store.settle(job_id, fence=job.fence, archived_seq=job.last_seq)
        await backend.store.reopen(job_id, spec=a_spec(webhook=HOOK))
        claim = await taken(backend.store, job)
        await backend.store.finish(job_id, fence=claim.fence, outcome=FAILED)

        await backend.store.delivered(first.delivery_id)
        await backend.store.put_off(first.delivery_id, seconds=3600)
        [second] = await due(backend.store)
        await backend.store.put_off(first.delivery_id, seconds=3600)
        await backend.let_time_pass(60)

        assert [delivery.tries for delivery in (second, *await due(backend.store))] == [0, 0]

    async def test_settling_a_job_does_not_forget_what_was_tried(self, backend: Backend) -> None:
        job = await backend.store.get(await ended(backend.store))
        [first] = await due(backend.store)
        await backend.store.put_off(first.delivery_id, seconds=0)

        await backend.store.settle(job.job_id, fence=job.fence, archived_seq=job.last_seq)
        await backend.let_time_pass(1)
        [second] = await due(backend.store)

        assert (second.delivery_id, second.tries) == (first.delivery_id, 1)

    async def test_a_settled_job_is_still_told_and_a_deleted_one_is_not(self, backend: Backend) -> None:
        jobs = [await backend.store.get(await ended(backend.store)) for _ in range(2)]
        for job in jobs:
            await backend.store.settle(job.job_id, fence=job.fence, archived_seq=job.last_seq)
        await backend.store.delete(jobs[0].job_id)

        assert [delivery.job_id for delivery in await due(backend.store)] == [jobs[1].job_id]

    async def test_a_word_about_an_unknown_job_changes_nothing(self, backend: Backend) -> None:
        await backend.store.delivered("msg_nobody_4")
        await backend.store.put_off("msg_nobody_4", seconds=1)

        await backend.let_time_pass(60)
        assert await due(backend.store) == []


class TestWebhookQueueInMemory(InMemory, WebhookQueueContract):
    async def test_the_time_of_the_first_try_is_kept(self, backend: Backend) -> None:
        await ended(backend.store)
        [delivery] = await due(backend.store)
        await backend.store.put_off(delivery.delivery_id, seconds=10)
        await backend.let_time_pass(60)

        [again] = await due(backend.store)

        assert again.first_tried_seconds_ago == 60


class TestWebhookQueueOnRedis(OnRedis, WebhookQueueContract):
    async def test_the_time_of_the_first_try_is_kept(self, backend: RedisBackend, raw_redis: redis.Redis) -> None:
        job_id = await ended(backend.store)
        [delivery] = await due(backend.store)
        await backend.store.put_off(delivery.delivery_id, seconds=0)
        seq, tries, first, out = (await raw_redis.hget(f"{{dspy}}:job:{job_id}", "told")).split()
        told = f"{seq} {tries} {int(first) - 60_000_000} {out}"
        await raw_redis.hset(f"{{dspy}}:job:{job_id}", "told", told)
        await backend.let_time_pass(1)

        [again] = await due(backend.store)

        assert again.first_tried_seconds_ago == pytest.approx(60, abs=5)

    async def test_an_entry_without_a_record_is_forgotten(self, backend: RedisBackend, raw_redis: redis.Redis) -> None:
        await raw_redis.zadd("{dspy}:deliveries", {"gone": 1})

        deliveries = await due(backend.store)

        assert deliveries == []
        assert await raw_redis.keys("{dspy}:*") == []

    async def test_nothing_stays_in_the_record_of_a_job_that_was_told(
        self, backend: RedisBackend, raw_redis: redis.Redis
    ) -> None:
        job_id = await ended(backend.store)
        before = await raw_redis.hkeys(f"{{dspy}}:job:{job_id}")
        [delivery] = await due(backend.store)

        await backend.store.delivered(delivery.delivery_id)

        assert await raw_redis.hkeys(f"{{dspy}}:job:{job_id}") == before
        assert not await raw_redis.exists("{dspy}:deliveries")
