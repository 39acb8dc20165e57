"""Each receiver has its turns, and a slow one holds up nobody else."""

import asyncio
import json

import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.job import Job
from dspy_service.domain.webhook import DeliveryAnswer
from dspy_service.usecases import deliver_webhooks as module
from dspy_service.usecases.deliver_webhooks import deliver_webhooks
from tests.support.signed import SECRET_KEY
from tests.support.waiting import until
from tests.support.webhooks import TAKEN, Clock, ScriptedSender, an_ended_job, answering, deliver, holds, taken_when


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(clock: Clock) -> MemoryJobStore:
    return MemoryJobStore(clock)


async def test_a_slow_receiver_holds_up_nobody_else(jobs: MemoryJobStore) -> None:
    released = asyncio.Event()

    async def answer(url: str) -> DeliveryAnswer:
        if "slow" in url:
            await released.wait()
        return TAKEN

    for _ in range(30):
        await an_ended_job(jobs, url="https://slow.example")
    sender = ScriptedSender(answer)
    told: list[Job] = []

    async def fast_ones_are_told() -> bool:
        return {job.job_id for job in told} <= {json.loads(post.body)["data"]["job_id"] for post in sender.posts}

    round_of_posts = asyncio.create_task(deliver(jobs, sender))
    for host in ("one.example", "two.example"):
        told.append(await an_ended_job(jobs, url=f"https://{host}"))
        await until(fast_ones_are_told)
    slow_under_way = sender.under_way
    released.set()
    await round_of_posts

    assert slow_under_way == module.PER_RECEIVER
    assert len(sender.posts) == 32
    assert await jobs.due_deliveries(lease_seconds=30) == []


async def test_one_tenant_does_not_take_the_turn_of_another_at_the_same_receiver(jobs: MemoryJobStore) -> None:
    released = asyncio.Event()
    sender = ScriptedSender(lambda _url: taken_when(released))
    for _ in range(2 * module.PER_RECEIVER):
        await an_ended_job(jobs, tenant="first")
    await an_ended_job(jobs, tenant="second")

    async def both_are_served() -> bool:
        return sender.under_way == module.PER_RECEIVER + 1

    round_of_posts = asyncio.create_task(deliver(jobs, sender))
    await until(both_are_served)
    released.set()
    await round_of_posts

    assert sender.peak == module.PER_RECEIVER + 1


async def test_the_posts_of_all_receivers_together_are_bounded(jobs: MemoryJobStore) -> None:
    released = asyncio.Event()
    sender = ScriptedSender(lambda _url: taken_when(released))
    for number in range(module.IN_ALL + 10):
        await an_ended_job(jobs, url=f"https://host{number}.example")

    async def is_full() -> bool:
        return sender.under_way == module.IN_ALL

    round_of_posts = asyncio.create_task(deliver(jobs, sender))
    await until(is_full)
    released.set()
    await round_of_posts

    assert sender.peak == module.IN_ALL
    assert len(sender.posts) == module.IN_ALL + 10


async def test_more_than_a_receiver_may_have_waiting_come_after_their_lease(jobs: MemoryJobStore, clock: Clock) -> None:
    released = asyncio.Event()
    sender = ScriptedSender(lambda _url: taken_when(released))
    for _ in range(module.WAITING_PER_RECEIVER + 5):
        await an_ended_job(jobs)

    async def all_are_leased() -> bool:
        return not await jobs.due_deliveries(lease_seconds=30, limit=1)

    round_of_posts = asyncio.create_task(deliver(jobs, sender))
    await until(lambda: holds(sender.under_way == module.PER_RECEIVER))
    await until(all_are_leased)
    released.set()
    await round_of_posts
    first = len(sender.posts)
    clock.seconds += module.LEASE_SECONDS + 1
    await deliver(jobs, sender)

    assert first == module.WAITING_PER_RECEIVER
    assert len(sender.posts) == module.WAITING_PER_RECEIVER + 5


async def test_a_delivery_whose_lease_may_end_under_way_is_not_begun(jobs: MemoryJobStore, clock: Clock) -> None:
    await an_ended_job(jobs)
    sender = answering(TAKEN)

    await deliver_webhooks(jobs=jobs, sender=sender, secret_key=SECRET_KEY, latest_start_seconds=0)
    left = len(sender.posts)
    clock.seconds += module.LEASE_SECONDS + 1
    await deliver(jobs, sender)

    assert (left, len(sender.posts)) == (0, 1)
