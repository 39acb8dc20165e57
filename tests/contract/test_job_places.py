"""A job that its worker leaves waits where it did before; one that its user stopped queues anew."""

import pytest

from dspy_service.domain.job import Claim, Job, Wish
from tests.contract.job_backends import (
    Backend,
    InMemory,
    OnRedis,
    a_job_of,
    claim_next,
    claimed,
    settled,
    submitted,
    taken,
)
from tests.support.job_samples import FAILED


async def one_by_one(backend: Backend, count: int) -> list[Job]:
    jobs = []
    for _ in range(count):
        jobs.append(await submitted(backend.store))
        await backend.let_time_pass(0.001)
    return jobs


async def leave(backend: Backend, claim: Claim, how: str) -> None:
    """Let a worker give a job back, or lose it."""
    match how:
        case "handed back":
            await backend.store.release(claim.job.job_id, fence=claim.fence)
        case "reaped":
            await backend.let_time_pass(16)
            await backend.store.reap(lease_seconds=0, max_losses=9)
        case _:
            await backend.store.lose([claim.job.owner or ""], max_losses=9)


class PlaceContract:
    @pytest.mark.parametrize("how", ["handed back", "reaped", "lost"])
    async def test_a_job_that_its_worker_leaves_keeps_its_place(self, backend: Backend, how: str) -> None:
        first, *later = await one_by_one(backend, 3)
        for _ in range(2):
            await leave(backend, await taken(backend.store, first), how)

        places = [await backend.store.place(job.job_id) for job in (first, *later)]
        order = [(await claim_next(backend.store)).job.job_id for _ in range(3)]

        assert [place and place.position for place in places] == [1, 2, 3]
        assert order == [job.job_id for job in (first, *later)]

    async def test_a_job_that_keeps_its_place_does_not_count_as_waiting_all_the_time(self, backend: Backend) -> None:
        claim = await claimed(backend.store)
        await backend.let_time_pass(100)
        job = await backend.store.release(claim.job.job_id, fence=claim.fence)
        await backend.let_time_pass(10)

        figures = await backend.store.figures()

        assert (job.queued_at - job.created_at).total_seconds() == pytest.approx(100, abs=1)
        assert figures.oldest_waiting_seconds == pytest.approx(10, abs=1)

    async def test_a_job_that_is_left_comes_after_what_matters_more(self, backend: Backend) -> None:
        claim = await claimed(backend.store)
        await backend.let_time_pass(1)
        urgent = await submitted(backend.store, a_job_of("local", priority=9))

        await backend.store.release(claim.job.job_id, fence=claim.fence)

        assert await backend.store.next_job() == urgent.job_id

    async def test_a_job_that_cannot_go_on_does_not_keep_the_others_waiting(self, backend: Backend) -> None:
        first, second = await one_by_one(backend, 2)
        claim = await taken(backend.store, first)
        await backend.store.release(first.job_id, fence=claim.fence, keeps_place=False)
        behind = await backend.store.next_job()
        claim = await taken(backend.store, second)
        await backend.let_time_pass(0.001)

        await backend.store.release(second.job_id, fence=claim.fence, keeps_place=False)

        assert behind == second.job_id
        assert await backend.store.next_job() == first.job_id

    @pytest.mark.parametrize("how", ["resumed", "retried"])
    async def test_a_job_that_its_user_stopped_or_failed_queues_anew(self, backend: Backend, how: str) -> None:
        [first] = await one_by_one(backend, 1)
        await leave(backend, await taken(backend.store, first), "handed back")  # it has a place that it could keep
        claim = await taken(backend.store, first)
        [second] = await one_by_one(backend, 1)
        if how == "resumed":
            await backend.store.wish(first.job_id, Wish.PAUSE)
            await backend.store.release(first.job_id, fence=claim.fence)
            await backend.store.wish(first.job_id, Wish.GO_ON)
        else:
            await settled(backend.store, claim, FAILED)
            await backend.store.reopen(first.job_id, spec=claim.spec)

        assert await backend.store.next_job() == second.job_id

    async def test_a_tenants_poison_lets_the_others_run_after_its_last_loss(self, backend: Backend) -> None:
        poison, other = await one_by_one(backend, 2)
        runs = []
        for _ in range(4):
            claim = await claim_next(backend.store, tenant_running_jobs=1)
            runs.append(claim.job.job_id)
            await backend.store.lose(["w1"], max_losses=3)

        assert runs == [poison.job_id] * 3 + [other.job_id]


class TestPlacesInMemory(InMemory, PlaceContract):
    pass


class TestPlacesOnRedis(OnRedis, PlaceContract):
    pass
