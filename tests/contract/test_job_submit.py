"""A submit is one step: record, index, outbox, first event; an idempotency key replays it."""

import asyncio

import pytest

from dspy_service.domain.errors import IdempotencyKeyReusedError, JobNotFoundError
from dspy_service.domain.events import EventType
from dspy_service.domain.job import JobStatus
from tests.contract.job_backends import Backend, InMemory, OnRedis, OnRedisWithLostReplies
from tests.support.job_samples import a_new_job, a_spec


class SubmitContract:
    async def test_a_new_job_is_pending_with_its_first_event_and_due_at_once(self, backend: Backend) -> None:
        new = a_new_job(spec=a_spec(metadata={"team": "search"}, optimizer_kwargs={"auto": "light", "verbose": True}))

        job, created = await backend.store.create(new)

        [event] = await backend.store.events(job.job_id)
        assert created
        assert job == await backend.store.get(new.job_id)
        assert (job.status, job.attempt, job.fence, job.losses, job.last_seq) == (JobStatus.PENDING, 0, 0, 0, 1)
        assert (job.metadata, job.optimizer_kwargs) == ({"team": "search"}, {"auto": "light", "verbose": True})
        assert (event.seq, event.type, event.data) == (1, EventType.STATE, {"status": "pending"})
        assert event.timestamp == job.created_at == job.queued_at
        assert await backend.store.due(limit=10) == [new.job_id]

    async def test_an_unknown_job_is_not_found(self, backend: Backend) -> None:
        with pytest.raises(JobNotFoundError):
            await backend.store.get("nobody")

        assert await backend.store.events("nobody") == []

    async def test_the_same_key_and_body_replay_the_first_job(self, backend: Backend) -> None:
        first, _ = await backend.store.create(a_new_job(key="k"))

        second, created = await backend.store.create(a_new_job(key="k"))

        assert not created
        assert second == first
        assert await backend.store.due(limit=10) == [first.job_id]

    async def test_the_same_key_with_another_body_is_a_conflict_and_writes_nothing(self, backend: Backend) -> None:
        first, _ = await backend.store.create(a_new_job(key="k", body="aa"))
        other = a_new_job(key="k", body="bb")

        with pytest.raises(IdempotencyKeyReusedError):
            await backend.store.create(other)

        with pytest.raises(JobNotFoundError):
            await backend.store.get(other.job_id)
        assert await backend.store.due(limit=10) == [first.job_id]

    async def test_fifty_racing_submits_of_one_key_make_one_job(self, backend: Backend) -> None:
        answers = await asyncio.gather(*(backend.store.create(a_new_job(key="k")) for _ in range(50)))

        assert len({job.job_id for job, _ in answers}) == 1
        assert sum(created for _, created in answers) == 1

    async def test_a_submit_that_is_sent_twice_is_written_once(self, backend: Backend) -> None:
        new = a_new_job(key="k")
        first = await backend.store.create(new)

        second = await backend.store.create(new)

        assert second == first
        assert len(await backend.store.events(new.job_id)) == 1

    async def test_waiting_ends_when_somebody_submits(self, backend: Backend) -> None:
        waiting = asyncio.create_task(backend.store.wait_for_submit(30))
        await asyncio.sleep(0)

        await backend.store.create(a_new_job())

        async with asyncio.timeout(5):
            assert await waiting

    async def test_a_submit_before_the_wait_is_not_missed_and_told_once(self, backend: Backend) -> None:
        await backend.store.create(a_new_job())
        await backend.store.create(a_new_job())

        assert await backend.store.wait_for_submit(0.05)
        assert not await backend.store.wait_for_submit(0.05)

    async def test_waiting_ends_when_the_time_is_up(self, backend: Backend) -> None:
        assert not await backend.store.wait_for_submit(0.01)


class TestSubmitInMemory(InMemory, SubmitContract):
    pass


class TestSubmitOnRedis(OnRedis, SubmitContract):
    pass


class TestSubmitWithLostReplies(OnRedisWithLostReplies, SubmitContract):
    pass
