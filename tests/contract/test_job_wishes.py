"""What a user may ask of a job in which state, and what becomes of it."""

import asyncio

import pytest

from dspy_service.domain.errors import JobNotFoundError, JobStateError, LeaseLostError
from dspy_service.domain.job import Claim, Job, JobStatus, Wish
from dspy_service.ports import JobStore
from tests.contract.job_backends import (
    Backend,
    InMemory,
    OnRedis,
    OnRedisWithLostReplies,
    claimed,
    running,
    submitted,
    taken,
)
from tests.support.job_samples import CANCELLED, FAILED, OUTCOME, a_best

REFUSED = "refused"

TABLE = {
    # status and pending wish: {what is asked: the same afterwards}
    "pending": {"cancel": "cancelled", "pause": "paused", "go_on": "pending"},
    "validating": {"cancel": "validating cancel", "pause": "validating pause", "go_on": "validating"},
    "running": {"cancel": "running cancel", "pause": "running pause", "go_on": "running"},
    "running pause": {"cancel": "running cancel", "pause": "running pause", "go_on": "running"},
    "running cancel": {"cancel": "running cancel", "pause": REFUSED, "go_on": REFUSED},
    "paused": {"cancel": "cancelled", "pause": "paused", "go_on": "pending"},
    "success": {"cancel": REFUSED, "pause": REFUSED, "go_on": REFUSED},
    "failed": {"cancel": REFUSED, "pause": REFUSED, "go_on": REFUSED},
    "cancelled": {"cancel": "cancelled", "pause": REFUSED, "go_on": REFUSED},
}
CASES = [(state, wish, after) for state, wishes in TABLE.items() for wish, after in wishes.items()]


def told(job: Job) -> str:
    return f"{job.status} {job.wish}".removesuffix(" go_on")


async def job_in(store: JobStore, state: str) -> str:
    status, _, wish = state.partition(" ")
    if status in {"pending", "paused"}:
        job_id = (await submitted(store)).job_id
    elif status == "validating":
        job_id = (await claimed(store)).job.job_id
    else:
        job_id = (await running(store)).job.job_id
    if status == "paused":
        await store.wish(job_id, Wish.PAUSE)
    for outcome in (OUTCOME, FAILED, CANCELLED):
        if outcome.status == status:
            await store.finish(job_id, fence=1, outcome=outcome)
    if wish:
        await store.wish(job_id, Wish(wish))
    return job_id


async def states_told(store: JobStore, job_id: str) -> list[object]:
    return [event.data["status"] for event in await store.events(job_id)]


class WishContract:
    @pytest.mark.parametrize(("state", "wish", "after"), CASES)
    async def test_a_wish_in_each_state(self, backend: Backend, state: str, wish: str, after: str) -> None:
        job_id = await job_in(backend.store, state)
        before = await backend.store.get(job_id)
        assert told(before) == state

        if after == REFUSED:
            with pytest.raises(JobStateError) as caught:
                await backend.store.wish(job_id, Wish(wish))
            assert caught.value.status == before.status
            assert await backend.store.get(job_id) == before
            return
        first = await backend.store.wish(job_id, Wish(wish))
        second = await backend.store.wish(job_id, Wish(wish))

        assert told(first) == after
        assert first == second == await backend.store.get(job_id)
        news = [event.data["status"] for event in await backend.store.events(job_id, after=before.last_seq)]
        assert news == ([first.status] if first.status != before.status else [])

    async def test_a_wish_for_a_missing_job_finds_nothing(self, backend: Backend) -> None:
        with pytest.raises(JobNotFoundError):
            await backend.store.wish("nobody", Wish.CANCEL)

    async def test_a_cancelled_job_is_claimed_and_rung_no_more(self, backend: Backend) -> None:
        job = await submitted(backend.store)

        cancelled = await backend.store.wish(job.job_id, Wish.CANCEL)

        assert cancelled.completed_at is not None
        assert (cancelled.termination_reason, cancelled.message) == ("cancelled", "cancelled")
        assert (cancelled.result_path, cancelled.has_artifact) == (None, False)
        assert await backend.store.claim(job.job_id, owner="w1", lease_seconds=15, sandbox_level="L1") is None
        assert await backend.store.next_job() is None
        assert await backend.store.due(limit=10) == []
        last = (await backend.store.events(job.job_id))[-1]
        assert last.data == {"status": "cancelled", "message": "cancelled", "termination_reason": "cancelled"}

    async def test_a_paused_job_waits_for_nobody_until_it_is_resumed(self, backend: Backend) -> None:
        job = await submitted(backend.store)
        await backend.store.wish(job.job_id, Wish.PAUSE)
        asleep = (await backend.store.next_job(), await backend.store.due(limit=10))
        await backend.let_time_pass(60)

        resumed = await backend.store.wish(job.job_id, Wish.GO_ON)

        assert asleep == (None, [])
        assert (resumed.queued_at - resumed.created_at).total_seconds() >= 60
        assert await backend.store.next_job() == job.job_id
        assert await backend.store.due(limit=10) == [job.job_id]

    async def test_a_paused_job_that_is_cancelled_keeps_its_best_program(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        best = a_best(job_id)
        await backend.store.keep_best(job_id, fence=1, best=best)
        await backend.store.wish(job_id, Wish.PAUSE)
        paused = await backend.store.release(job_id, fence=1)

        job = await backend.store.wish(job_id, Wish.CANCEL)

        assert (paused.status, paused.best, paused.has_artifact) == (JobStatus.PAUSED, best, False)
        assert (job.result_path, job.result_fence, job.has_artifact) == (best.path, best.fence, True)

    async def test_the_best_program_of_an_earlier_attempt_is_not_replaced_by_a_worse_one(
        self, backend: Backend
    ) -> None:
        job_id = (await running(backend.store)).job.job_id
        for score in (0.5, 0.75):
            await backend.store.keep_best(job_id, fence=1, best=a_best(job_id, score=score))
        await taken(backend.store, await backend.store.release(job_id, fence=1))

        await backend.store.keep_best(job_id, fence=2, best=a_best(job_id, fence=2, score=0.5))
        kept = (await backend.store.get(job_id)).best
        await backend.store.keep_best(job_id, fence=2, best=a_best(job_id, fence=2, score=0.75))

        assert kept == a_best(job_id, score=0.75)
        assert (await backend.store.get(job_id)).best == a_best(job_id, fence=2, score=0.75)

    @pytest.mark.parametrize("cancel_first", [True, False])
    async def test_a_cancel_and_an_end_that_race_leave_one_end(self, backend: Backend, *, cancel_first: bool) -> None:
        job_id = (await running(backend.store)).job.job_id

        if cancel_first:
            await backend.store.wish(job_id, Wish.CANCEL)
            ended = await backend.store.finish(job_id, fence=1, outcome=OUTCOME)
        else:
            ended = await backend.store.finish(job_id, fence=1, outcome=OUTCOME)
            with pytest.raises(JobStateError):
                await backend.store.wish(job_id, Wish.CANCEL)

        assert (ended.status, ended.wish) == (JobStatus.SUCCESS, Wish.GO_ON)
        assert await backend.store.get(job_id) == ended
        assert await states_told(backend.store, job_id) == ["pending", "validating", "running", "success"]

    async def test_wishes_and_ends_at_the_same_time_leave_one_terminal_event(self, backend: Backend) -> None:
        ids = [(await running(backend.store)).job.job_id for _ in range(10)]

        await asyncio.gather(
            *(backend.store.wish(job_id, Wish.CANCEL) for job_id in ids),
            *(backend.store.finish(job_id, fence=1, outcome=OUTCOME) for job_id in ids),
            return_exceptions=True,
        )

        for job_id in ids:
            assert (await states_told(backend.store, job_id))[2:] == ["running", "success"]


class ReleaseContract:
    async def released(self, store: JobStore, wish: Wish | None) -> tuple[Claim, Job]:
        claim = await running(store)
        if wish is not None:
            await store.wish(claim.job.job_id, wish)
        return claim, await store.release(claim.job.job_id, fence=claim.fence)

    async def test_a_job_that_is_given_back_waits_again_without_a_loss(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job_id = claim.job.job_id
        await backend.store.append(job_id, fence=1, events=[], message="optimizer_progress", eta_seconds=60)

        job = await backend.store.release(job_id, fence=1)

        assert (job.status, job.losses, job.attempt, job.owner, job.eta_at) == (JobStatus.PENDING, 0, 1, None, None)
        assert job.message is None
        assert await backend.store.next_job() == job_id
        assert await backend.store.due(limit=10) == [job_id]
        assert await backend.store.wait_for_submit(0.01)
        again = await taken(backend.store, job, owner="w2")
        assert (again.fence, again.job.attempt, again.job.owner) == (2, 2, "w2")

    async def test_why_a_job_waits_again_can_be_said(self, backend: Backend) -> None:
        claim = await running(backend.store)

        job = await backend.store.release(claim.job.job_id, fence=1, message="the artifact store is away")

        last = (await backend.store.events(job.job_id))[-1]
        assert job.message == "the artifact store is away"
        assert last.data == {"status": "pending", "message": "the artifact store is away"}

    @pytest.mark.parametrize(
        ("wish", "status"), [(Wish.PAUSE, "paused"), (Wish.CANCEL, "cancelled"), (Wish.GO_ON, "pending")]
    )
    async def test_a_release_fulfils_the_wish(self, backend: Backend, wish: Wish, status: str) -> None:
        claim, job = await self.released(backend.store, wish)

        assert (job.status, job.wish) == (status, Wish.GO_ON)
        assert (job.completed_at is not None) == (status == "cancelled")
        assert await backend.store.release(claim.job.job_id, fence=1) == job

    async def test_a_pause_that_was_taken_back_is_none(self, backend: Backend) -> None:
        claim = await running(backend.store)
        await backend.store.wish(claim.job.job_id, Wish.PAUSE)
        await backend.store.wish(claim.job.job_id, Wish.GO_ON)

        job = await backend.store.release(claim.job.job_id, fence=1)

        assert job.status is JobStatus.PENDING

    async def test_a_stale_worker_cannot_release(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await taken(backend.store, await backend.store.release(job_id, fence=1))
        before = await backend.store.get(job_id)

        for stale in (0, 1, 3):
            with pytest.raises(LeaseLostError):
                await backend.store.release(job_id, fence=stale)
        with pytest.raises(LeaseLostError):
            await backend.store.release("nobody", fence=1)

        assert await backend.store.get(job_id) == before

    async def test_an_ended_job_cannot_be_released(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.finish(job_id, fence=1, outcome=OUTCOME)

        with pytest.raises(LeaseLostError):
            await backend.store.release(job_id, fence=1)

    async def test_a_job_that_was_given_back_cannot_be_written_any_more(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.release(job_id, fence=1)

        with pytest.raises(LeaseLostError):
            await backend.store.renew(job_id, fence=1, lease_seconds=15)
        with pytest.raises(LeaseLostError):
            await backend.store.finish(job_id, fence=1, outcome=OUTCOME)

    async def test_only_what_its_holders_count_is_running_time(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.wish(job_id, Wish.PAUSE)
        await backend.let_time_pass(100)
        paused = await backend.store.release(job_id, fence=1, active_seconds=70.25)
        await backend.let_time_pass(1000)
        resumed = await backend.store.wish(job_id, Wish.GO_ON)
        await backend.let_time_pass(1000)
        claim = await taken(backend.store, resumed)
        await backend.let_time_pass(10)

        job = await backend.store.release(job_id, fence=claim.fence)

        assert paused.active_seconds == claim.job.active_seconds == 70.25
        assert claim.job.attempt_started_at is not None
        assert claim.job.started_at is not None
        assert (claim.job.attempt_started_at - claim.job.started_at).total_seconds() == pytest.approx(2100, abs=1)
        assert job.active_seconds == 70.25

    async def test_running_time_grows_with_the_heartbeats_and_never_falls(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id

        seen = []
        for told in (1.5, None, 3.25, 2.0):
            await backend.store.renew(job_id, fence=1, lease_seconds=15, active_seconds=told)
            seen.append((await backend.store.get(job_id)).active_seconds)

        assert seen == [1.5, 1.5, 3.25, 3.25]


class TestWishesInMemory(InMemory, WishContract, ReleaseContract):
    pass


class TestWishesOnRedis(OnRedis, WishContract, ReleaseContract):
    pass


class TestWishesWithLostReplies(OnRedisWithLostReplies, WishContract, ReleaseContract):
    pass
