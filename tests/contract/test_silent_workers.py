"""A job whose worker has gone silent obeys its user at once, although nobody has reaped it yet."""

import pytest

from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.job import Job, Wish
from dspy_service.ports import JobStore
from tests.contract.job_backends import (
    Backend,
    InMemory,
    OnRedis,
    OnRedisWithLostReplies,
    running,
    submitted,
    taken,
)
from tests.support.job_samples import CANCELLED, a_best


def told(job: Job) -> str:
    return f"{job.status} {job.wish}".removesuffix(" go_on")


async def states_told(store: JobStore, job_id: str) -> list[object]:
    return [event.data["status"] for event in await store.events(job_id)]


def seconds_leased(job: Job) -> float:
    assert job.leased_until is not None
    assert job.attempt_started_at is not None
    return (job.leased_until - job.attempt_started_at).total_seconds()


class SilentWorkerContract:
    """A worker whose lease is over holds nothing, although nobody has reaped it yet."""

    async def abandoned(self, backend: Backend) -> str:
        """Let a worker take a job, keep a program and fall silent."""
        job_id = (await running(backend.store)).job.job_id
        await backend.store.keep_best(job_id, fence=1, best=a_best(job_id))
        await backend.store.renew(job_id, fence=1, lease_seconds=0)  # shorter than the server is up
        await backend.let_time_pass(1)
        return job_id

    async def test_its_job_is_cancelled_at_once_with_its_best_program(self, backend: Backend) -> None:
        job_id = await self.abandoned(backend)

        job = await backend.store.wish(job_id, Wish.CANCEL)
        again = await backend.store.wish(job_id, Wish.CANCEL)

        assert job == again == await backend.store.get(job_id)
        assert (told(job), job.message, job.termination_reason) == ("cancelled", "cancelled", "cancelled")
        assert (job.result_path, job.result_fence, job.has_artifact) == (a_best(job_id).path, 1, True)
        assert (job.owner, job.losses, job.leased_until) == (None, 0, None)
        assert await states_told(backend.store, job_id) == ["pending", "validating", "running", "cancelled"]
        assert await backend.store.reap(lease_seconds=0, max_losses=3) == []
        with pytest.raises(LeaseLostError):
            await backend.store.finish(job_id, fence=1, outcome=CANCELLED)

    async def test_its_job_is_paused_at_once_and_can_go_on(self, backend: Backend) -> None:
        job_id = await self.abandoned(backend)

        paused = await backend.store.wish(job_id, Wish.PAUSE)
        resumed = await backend.store.wish(job_id, Wish.GO_ON)

        assert (told(paused), paused.message, paused.losses, told(resumed)) == ("paused", None, 0, "pending")
        assert (await taken(backend.store, resumed)).job.attempt == 2
        with pytest.raises(LeaseLostError):
            await backend.store.renew(job_id, fence=1, lease_seconds=15)

    async def test_what_was_asked_for_while_it_lived_is_done_when_it_is_asked_for_again(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        asked = await backend.store.wish(job_id, Wish.PAUSE)
        await backend.store.renew(job_id, fence=1, lease_seconds=0)
        await backend.let_time_pass(1)

        cancelled = await backend.store.wish(job_id, Wish.CANCEL)

        assert (told(asked), told(cancelled)) == ("running pause", "cancelled")

    async def test_a_resume_only_takes_the_pause_back(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.wish(job_id, Wish.PAUSE)
        await backend.store.renew(job_id, fence=1, lease_seconds=0)
        await backend.let_time_pass(1)

        assert told(await backend.store.wish(job_id, Wish.GO_ON)) == "running"

    async def test_after_an_outage_it_may_renew_first(self, backend: Backend) -> None:
        job_id = (await submitted(backend.store)).job_id
        await backend.store.claim(job_id, owner="w1", lease_seconds=10**7, sandbox_level="L1")
        await backend.let_time_pass(10**7 + 1)
        await backend.has_just_started()

        before = told(await backend.store.wish(job_id, Wish.PAUSE))

        assert before == "validating pause"
        assert await backend.store.renew(job_id, fence=1, lease_seconds=15) is Wish.PAUSE

    async def test_how_long_a_lease_holds_stands_in_the_record(self, backend: Backend) -> None:
        claim = await running(backend.store)
        await backend.let_time_pass(10)
        await backend.store.renew(claim.job.job_id, fence=1, lease_seconds=15)

        renewed = await backend.store.get(claim.job.job_id)
        released = await backend.store.release(claim.job.job_id, fence=1)

        assert seconds_leased(claim.job) == pytest.approx(15, abs=1)
        assert seconds_leased(renewed) == pytest.approx(25, abs=1)
        assert released.leased_until is None


class TestSilentWorkersInMemory(InMemory, SilentWorkerContract):
    pass


class TestSilentWorkersOnRedis(OnRedis, SilentWorkerContract):
    pass


class TestSilentWorkersWithLostReplies(OnRedisWithLostReplies, SilentWorkerContract):
    pass
