"""Whoever asked to be told of an end hears of it, sooner or later."""

import asyncio
import json
import logging

import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.errors import ForbiddenAddressError, StoreUnavailableError
from dspy_service.domain.webhook import Delivery, DeliveryAnswer
from dspy_service.domain.webhook_message import message_headers, tenant_secret
from dspy_service.usecases.deliver_webhooks import LEASE_SECONDS
from tests.support.job_samples import FAILED, a_spec
from tests.support.signed import SECRET_KEY
from tests.support.waiting import until
from tests.support.webhooks import (
    BROKEN,
    TAKEN,
    URL,
    Clock,
    ScriptedSender,
    an_ended_job,
    answering,
    deliver,
    holds,
    taken_when,
)

DAY = 24 * 3600


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(clock: Clock) -> MemoryJobStore:
    return MemoryJobStore(clock)


async def test_an_end_is_posted_once_with_the_tenants_signature(jobs: MemoryJobStore) -> None:
    job = await an_ended_job(jobs, tenant="acme")
    sender = answering(TAKEN)

    await deliver(jobs, sender)
    await deliver(jobs, sender)

    (post,) = sender.posts
    message = json.loads(post.body)
    signed = message_headers(
        post.body,
        secret=tenant_secret(SECRET_KEY, "acme"),
        delivery_id=f"msg_{job.job_id}_{job.last_seq}",
        sent_at=jobs.clock(),
    )
    assert post.url == URL
    assert post.headers == signed
    assert (message["type"], message["data"]["job_id"]) == ("job.success", job.job_id)


async def test_nobody_is_told_of_a_job_without_a_webhook(jobs: MemoryJobStore) -> None:
    await an_ended_job(jobs, url=None)
    sender = answering(TAKEN)

    await deliver(jobs, sender)

    assert sender.posts == []


async def test_what_was_not_heard_comes_again_under_the_same_id_with_a_fresh_signature(
    jobs: MemoryJobStore, clock: Clock
) -> None:
    await an_ended_job(jobs)
    sender = answering(BROKEN, DeliveryAnswer(status=None, reason="it was not reached"), TAKEN)

    await deliver(jobs, sender)
    clock.seconds += 4
    await deliver(jobs, sender)
    too_early = len(sender.posts)
    for pause in (2, 331, DAY):
        clock.seconds += pause
        await deliver(jobs, sender)

    assert too_early == 1
    assert len(sender.posts) == 3
    assert len({post.headers["webhook-id"] for post in sender.posts}) == 1
    assert len({post.body for post in sender.posts}) == 1
    assert len({post.headers["webhook-signature"] for post in sender.posts}) == 3


async def test_a_longer_pause_is_granted(jobs: MemoryJobStore, clock: Clock) -> None:
    await an_ended_job(jobs)
    sender = answering(DeliveryAnswer(status=503, retry_after_seconds=3600), TAKEN)

    await deliver(jobs, sender)
    clock.seconds += 3599
    await deliver(jobs, sender)
    before = len(sender.posts)
    clock.seconds += 2
    await deliver(jobs, sender)

    assert (before, len(sender.posts)) == (1, 2)


async def test_after_ten_tries_it_is_given_up_with_a_warning(
    jobs: MemoryJobStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    job = await an_ended_job(jobs, url="https://hooks.example/jobs?token=word")
    sender = answering(BROKEN)

    for _ in range(15):
        await deliver(jobs, sender)
        clock.seconds += 2 * DAY

    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(sender.posts) == 10
    assert warnings == [
        f"Gave up telling hooks.example that job {job.job_id} has ended, after 10 tries: it answered 500"
    ]
    assert "word" not in caplog.text
    assert (await jobs.get(job.job_id)).webhook_problem == "Given up after 10 tries: it answered 500"


async def test_a_receiver_that_is_gone_is_not_asked_again(
    jobs: MemoryJobStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await an_ended_job(jobs)
    sender = answering(DeliveryAnswer(status=410))

    await deliver(jobs, sender)
    clock.seconds += DAY
    await deliver(jobs, sender)

    assert len(sender.posts) == 1
    assert "after 1 tries: it answered 410" in caplog.text


async def test_an_address_that_may_not_be_called_is_a_failed_try(jobs: MemoryJobStore, clock: Clock) -> None:
    async def refuse(_url: str) -> DeliveryAnswer:
        raise ForbiddenAddressError("The host stands for a private address.")

    job = await an_ended_job(jobs)
    sender = ScriptedSender(refuse)

    await deliver(jobs, sender)
    clock.seconds += DAY

    [again] = await jobs.due_deliveries(lease_seconds=30)
    assert (again.job_id, again.tries) == (job.job_id, 1)
    problem = (await jobs.get(job.job_id)).webhook_problem
    assert problem == "Not told yet, try 1 of 10: The host stands for a private address."


async def test_a_settled_job_is_told_all_the_same(jobs: MemoryJobStore) -> None:
    job = await an_ended_job(jobs)
    await jobs.settle(job.job_id, fence=job.fence, archived_seq=job.last_seq)
    sender = answering(TAKEN)

    await deliver(jobs, sender)

    assert len(sender.posts) == 1


async def test_a_job_that_was_deleted_or_opened_again_in_between_is_not_told(clock: Clock) -> None:
    class Late(MemoryJobStore):
        """Its jobs change between the look and the post."""

        async def due_deliveries(self, *, lease_seconds: float, limit: int = 20) -> list[Delivery]:
            found = await super().due_deliveries(lease_seconds=lease_seconds, limit=limit)
            for delivery in found:
                if delivery.job_id == deleted.job_id:
                    await self.delete(delivery.job_id)
                else:
                    await self.reopen(delivery.job_id, spec=a_spec())
            return found

    jobs = Late(clock)
    deleted, reopened = await an_ended_job(jobs), await an_ended_job(jobs, outcome=FAILED)
    await jobs.settle(reopened.job_id, fence=reopened.fence, archived_seq=reopened.last_seq)
    sender = answering(TAKEN)

    await deliver(jobs, sender)
    clock.seconds += DAY
    await deliver(jobs, sender)

    assert sender.posts == []


async def test_a_store_that_goes_away_is_reported_once_the_posts_are_made(clock: Clock) -> None:
    class Leaving(MemoryJobStore):
        looks = 0

        async def due_deliveries(self, *, lease_seconds: float, limit: int = 20) -> list[Delivery]:
            self.looks += 1
            if self.looks > 1:
                raise StoreUnavailableError("job store")
            return await super().due_deliveries(lease_seconds=lease_seconds, limit=limit)

    jobs = Leaving(clock)
    await an_ended_job(jobs)
    went_away = asyncio.Event()

    async def answer(_url: str) -> DeliveryAnswer:
        await until(lambda: holds(jobs.looks > 1))
        went_away.set()
        return TAKEN

    with pytest.raises(StoreUnavailableError):
        await deliver(jobs, ScriptedSender(answer))

    assert went_away.is_set()
    assert await MemoryJobStore.due_deliveries(jobs, lease_seconds=30) == []


async def test_a_reply_that_cannot_be_noted_leads_to_the_same_message_again(clock: Clock) -> None:
    class Deaf(MemoryJobStore):
        is_deaf = True

        async def delivered(self, delivery_id: str, *, problem: str | None = None) -> None:
            if self.is_deaf:
                raise StoreUnavailableError("job store")
            await super().delivered(delivery_id, problem=problem)

    jobs, sender = Deaf(clock), answering(TAKEN)
    await an_ended_job(jobs)

    await deliver(jobs, sender)
    jobs.is_deaf = False
    for _ in range(3):
        clock.seconds += LEASE_SECONDS + 1
        await deliver(jobs, sender)

    first, second = sender.posts
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_a_bug_that_one_delivery_meets_does_not_stop_the_others(
    jobs: MemoryJobStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(url: str) -> DeliveryAnswer:
        if "odd" in url:
            raise RuntimeError("a bug")
        return TAKEN

    await an_ended_job(jobs, url="https://odd.example")
    await an_ended_job(jobs)
    sender = ScriptedSender(answer)

    await deliver(jobs, sender)

    assert [post.url for post in sender.posts] == ["https://odd.example", URL]
    assert "a bug of the service" in caplog.text


async def test_who_is_stopped_while_posting_leaves_the_delivery_to_the_next_one(
    jobs: MemoryJobStore, clock: Clock
) -> None:
    job = await an_ended_job(jobs)
    stuck = ScriptedSender(lambda _url: taken_when(asyncio.Event()))
    stopped = asyncio.create_task(deliver(jobs, stuck))
    await until(lambda: holds(stuck.under_way == 1))

    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    clock.seconds += LEASE_SECONDS + 1
    sender = answering(TAKEN)
    await deliver(jobs, sender)

    assert stuck.under_way == 0
    assert [json.loads(post.body)["data"]["job_id"] for post in sender.posts] == [job.job_id]
