"""A lease that has expired is one loss; whoever held it can write nothing more, and some losses are enough."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.job import Claim, Job, JobStatus, Wish
from dspy_service.ports import JobStore
from tests.contract.job_backends import Backend, InMemory, OnRedis, running, submitted, taken
from tests.support.job_samples import CANCELLED, OUTCOME, a_best, a_log


async def reaped(backend: Backend, *, max_losses: int = 3) -> list[Job]:
    """Let every lease expire, and end them."""
    await backend.let_time_pass(16)
    return await backend.store.reap(lease_seconds=0, max_losses=max_losses)


WRITES: dict[str, Callable[[JobStore, str], Awaitable[object]]] = {
    "renew": lambda store, job_id: store.renew(job_id, fence=1, lease_seconds=15),
    "append": lambda store, job_id: store.append(job_id, fence=1, events=[a_log("late")]),
    "advance": lambda store, job_id: store.advance(job_id, fence=1),
    "keep_best": lambda store, job_id: store.keep_best(job_id, fence=1, best=a_best(job_id)),
    "add_answers": lambda store, job_id: store.add_answers(job_id, fence=1, answers=["late"]),
    "drop_answers": lambda store, job_id: store.drop_answers(job_id, fence=1, before=1),
    "release": lambda store, job_id: store.release(job_id, fence=1),
    "finish": lambda store, job_id: store.finish(job_id, fence=1, outcome=OUTCOME),
    "finish cancelled": lambda store, job_id: store.finish(job_id, fence=1, outcome=CANCELLED),
}


class ReapingContract:
    async def test_a_lost_job_waits_again_at_once_with_one_loss(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.append(job_id, fence=1, events=[], latest_metrics={"score": 0.5}, eta_seconds=60)

        [job] = await reaped(backend)

        assert job == await backend.store.get(job_id)
        assert (job.status, job.losses, job.attempt, job.owner) == (JobStatus.PENDING, 1, 1, None)
        assert (job.fence, job.eta_at, job.completed_at) == (2, None, None)
        last = (await backend.store.events(job_id))[-1]
        assert last.data == {"status": "pending", "message": "worker lost: fell silent (1 of 3)"}
        assert job.message == last.data["message"]
        assert await backend.store.next_job() == job_id
        assert await backend.store.due(limit=10) == [job_id]

    async def test_the_next_attempt_begins_afresh(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.append(job_id, fence=1, events=[], latest_metrics={"score": 0.5})
        [job] = await reaped(backend)

        claim = await taken(backend.store, job, owner="w2")

        assert (claim.fence, claim.job.attempt, claim.job.losses, claim.job.owner) == (3, 2, 1, "w2")
        assert (claim.job.message, claim.job.latest_metrics) == (None, {})
        assert await backend.store.renew(job_id, fence=3, lease_seconds=15) is Wish.GO_ON

    async def test_a_lease_that_is_renewed_is_not_reaped(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.let_time_pass(14)
        await backend.store.renew(job_id, fence=1, lease_seconds=15)
        await backend.let_time_pass(14)

        assert await backend.store.reap(lease_seconds=0, max_losses=3) == []
        assert (await backend.store.get(job_id)).status is JobStatus.RUNNING

    async def test_nothing_is_reaped_twice(self, backend: Backend) -> None:
        await running(backend.store)

        answers = [*await asyncio.gather(*(reaped(backend) for _ in range(5)))]

        assert sorted(len(jobs) for jobs in answers) == [0, 0, 0, 0, 1]

    async def test_a_limit_holds_and_the_longest_lost_goes_first(self, backend: Backend) -> None:
        ids = []
        for _ in range(3):
            ids.append((await running(backend.store)).job.job_id)
            await backend.let_time_pass(1)
        await backend.let_time_pass(15)

        first = await backend.store.reap(lease_seconds=0, max_losses=3, limit=2)
        second = await backend.store.reap(lease_seconds=0, max_losses=3, limit=2)

        assert [job.job_id for job in first + second] == ids

    @pytest.mark.parametrize("was_claimed_again", [True, False])
    @pytest.mark.parametrize("verb", WRITES)
    async def test_a_zombie_writes_nothing(self, backend: Backend, verb: str, *, was_claimed_again: bool) -> None:
        job_id = (await running(backend.store)).job.job_id
        [job] = await reaped(backend)
        if was_claimed_again:
            await taken(backend.store, job, owner="w2")
        before = await backend.store.get(job_id)

        with pytest.raises(LeaseLostError):
            await WRITES[verb](backend.store, job_id)

        assert await backend.store.get(job_id) == before
        assert await backend.store.answers(job_id) == (0, [])

    async def test_too_many_losses_fail_the_job(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job_id = claim.job.job_id
        for _ in range(2):
            [job] = await reaped(backend)
            await taken(backend.store, job)

        [job] = await reaped(backend)

        assert (job.status, job.termination_reason, job.losses) == (JobStatus.FAILED, "lost", 3)
        assert job.message == "worker lost: fell silent (3 of 3)"
        assert (job.result_path, job.has_artifact) == (None, False)
        last = (await backend.store.events(job_id))[-1]
        assert last.data == {"status": "failed", "message": job.message, "termination_reason": "lost"}
        assert last.timestamp == job.completed_at
        assert await backend.store.next_job() is None
        assert await backend.store.unsettled(older_than_seconds=0) == [job_id]

    async def test_a_job_that_is_lost_for_good_keeps_its_best_program(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        best = a_best(job_id)
        await backend.store.keep_best(job_id, fence=1, best=best)

        [job] = await reaped(backend, max_losses=1)

        assert (job.status, job.result_path, job.result_fence, job.has_artifact) == ("failed", best.path, 1, True)

    @pytest.mark.parametrize(("wish", "status"), [(Wish.CANCEL, "cancelled"), (Wish.PAUSE, "paused")])
    @pytest.mark.parametrize("max_losses", [1, 3])
    async def test_a_wish_comes_before_the_losses(
        self, backend: Backend, wish: Wish, status: str, max_losses: int
    ) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.keep_best(job_id, fence=1, best=a_best(job_id))
        await backend.store.wish(job_id, wish)

        [job] = await reaped(backend, max_losses=max_losses)

        assert (job.status, job.losses, job.wish) == (status, 0, Wish.GO_ON)
        assert (job.owner, job.fence) == (None, 2)
        assert job.message == ("cancelled" if status == "cancelled" else None)
        assert job.has_artifact == (status == "cancelled")
        assert job.termination_reason == ("cancelled" if status == "cancelled" else None)
        assert await backend.store.next_job() is None

    async def test_what_nobody_told_is_not_counted_as_running_time(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.let_time_pass(10)
        await backend.store.renew(job_id, fence=1, lease_seconds=15, active_seconds=9.5)

        [job] = await reaped(backend)

        assert job.active_seconds == 9.5

    async def test_nothing_is_reaped_while_the_store_is_up_for_less_than_a_lease(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.has_just_started()
        await backend.let_time_pass(16)

        assert await backend.store.reap(lease_seconds=10**7, max_losses=3) == []
        assert (await backend.store.get(job_id)).status is JobStatus.RUNNING

    async def test_a_job_that_stops_lets_another_of_its_tenant_be_rung_for_at_once(self, backend: Backend) -> None:
        held = await running(backend.store)
        waiting = await submitted(backend.store)
        while await backend.store.due(limit=10):
            await backend.let_rings_come_nearer(1)
        await backend.store.wait_for_submit(0.01)

        await backend.store.finish(held.job.job_id, fence=1, outcome=OUTCOME)

        assert await backend.store.wait_for_submit(0.01)
        assert await backend.store.due(limit=10) == [waiting.job_id]


class DeadOwnerContract:
    """An owner that is known to be dead need not be waited for."""

    async def test_its_job_waits_again_at_once_with_one_loss(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job_id = claim.job.job_id

        [job] = await backend.store.lose(["somebody", "w1"], max_losses=3)

        assert job == await backend.store.get(job_id)
        assert (job.status, job.losses, job.owner, job.fence) == (JobStatus.PENDING, 1, None, 2)
        assert job.message == "worker lost: died (1 of 3)"
        assert await backend.store.next_job() == job_id
        assert await backend.store.due(limit=10) == [job_id]
        with pytest.raises(LeaseLostError):
            await backend.store.renew(job_id, fence=claim.fence, lease_seconds=15)

    async def test_enough_of_them_fail_the_job(self, backend: Backend) -> None:
        await running(backend.store)

        [job] = await backend.store.lose(["w1"], max_losses=1)

        assert (job.status, job.termination_reason) == (JobStatus.FAILED, "lost")

    async def test_what_others_hold_or_it_held_before_is_left_alone(self, backend: Backend) -> None:
        others = await taken(backend.store, await submitted(backend.store), owner="w2")
        ended = await running(backend.store)
        await backend.store.finish(ended.job.job_id, fence=1, outcome=OUTCOME)
        waits = await submitted(backend.store)
        jobs = [others.job, await backend.store.get(ended.job.job_id), waits]

        lost = await backend.store.lose(["w1", "w"], max_losses=3)

        assert lost == await backend.store.lose([], max_losses=3) == []
        assert [await backend.store.get(job.job_id) for job in jobs] == jobs

    async def test_nothing_is_lost_twice(self, backend: Backend) -> None:
        await running(backend.store)

        answers = await asyncio.gather(*(backend.store.lose(["w1"], max_losses=3) for _ in range(5)))

        assert sorted(len(jobs) for jobs in answers) == [0, 0, 0, 0, 1]


class TenantLimitContract:
    async def claim(self, store: JobStore, job: Job, *, enough: int) -> Claim | None:
        return await store.claim(
            job.job_id, owner="w1", lease_seconds=15, sandbox_level="L1", tenant_running_jobs=enough
        )

    async def test_a_tenant_with_enough_running_jobs_gets_no_more(self, backend: Backend) -> None:
        jobs = [await submitted(backend.store) for _ in range(3)]
        first = await self.claim(backend.store, jobs[0], enough=2)
        second = await self.claim(backend.store, jobs[1], enough=2)

        refused = await self.claim(backend.store, jobs[2], enough=2)
        assert first is not None
        await backend.store.release(first.job.job_id, fence=1)
        third = await self.claim(backend.store, jobs[2], enough=2)

        assert second is not None
        assert refused is None
        assert third is not None

    async def test_racing_claims_do_not_pass_the_limit(self, backend: Backend) -> None:
        jobs = [await submitted(backend.store) for _ in range(16)]

        claims = await asyncio.gather(*(self.claim(backend.store, job, enough=3) for job in jobs))

        assert sum(claim is not None for claim in claims) == 3


class TestReapingInMemory(InMemory, ReapingContract, DeadOwnerContract, TenantLimitContract):
    pass


class TestReapingOnRedis(OnRedis, ReapingContract, DeadOwnerContract, TenantLimitContract):
    pass
