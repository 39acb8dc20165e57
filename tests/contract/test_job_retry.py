"""A failed job can be opened again: the same id, log and journal, and all its losses forgiven."""

import pytest

from dspy_service.domain.errors import JobNotFoundError, JobStateError, LeaseLostError
from dspy_service.domain.job import JobStatus, Wish
from tests.contract.job_backends import (
    Backend,
    InMemory,
    OnRedis,
    OnRedisWithLostReplies,
    claimed,
    running,
    settled,
    submitted,
    taken,
)
from tests.support.job_samples import CANCELLED, FAILED, OUTCOME, a_best, a_log, a_spec


class RetryContract:
    async def test_a_failed_job_waits_again_as_if_it_had_never_ended(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job_id = claim.job.job_id
        await backend.store.keep_best(job_id, fence=1, best=a_best(job_id))
        outcome = FAILED.model_copy(update={"result_path": f"{job_id}/1"})
        await backend.let_time_pass(100)
        failed = await settled(backend.store, claim, outcome)

        job = await backend.store.reopen(job_id, spec=claim.spec)

        assert job == await backend.store.get(job_id)
        assert (failed.result_path, failed.result_fence) == (f"{job_id}/1", 1)
        assert (job.status, job.losses, job.attempt, job.archived_seq) == (JobStatus.PENDING, 0, 1, failed.last_seq)
        assert (job.completed_at, job.termination_reason, job.message, job.owner) == (None, None, None, None)
        assert (job.result_path, job.result_fence, job.has_artifact, job.best) == (None, 0, False, None)
        assert (job.queued_at - job.created_at).total_seconds() >= 100
        assert await backend.store.spec(job_id) == claim.spec
        assert await backend.store.next_job() == job_id
        assert await backend.store.due(limit=10) == [job_id]
        assert await backend.store.ended_before(seconds_ago=0) == []

    async def test_seconds_that_ran_before_the_retry_are_forgiven_and_not_forgotten(self, backend: Backend) -> None:
        claim = await running(backend.store)
        await settled(backend.store, claim, FAILED.model_copy(update={"active_seconds": 100.25}))

        job = await backend.store.reopen(claim.job.job_id, spec=claim.spec)
        again = await taken(backend.store, job)
        given_back = await backend.store.release(job.job_id, fence=again.fence, active_seconds=110.5)

        assert (claim.job.forgiven_seconds, job.forgiven_seconds) == (0, 100.25)
        assert job.active_seconds == again.job.active_seconds == 100.25
        assert (given_back.forgiven_seconds, given_back.active_seconds) == (100.25, 110.5)

    async def test_the_log_and_the_journal_go_on(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job_id = claim.job.job_id
        await backend.store.add_answers(job_id, fence=1, answers=["first"])
        failed = await settled(backend.store, claim, FAILED)
        again = await taken(backend.store, await backend.store.reopen(job_id, spec=claim.spec))

        last = await backend.store.append(job_id, fence=again.fence, events=[a_log("x")])
        end = await backend.store.add_answers(job_id, fence=again.fence, answers=["second"])

        events = await backend.store.events(job_id)
        assert [event.seq for event in events] == [5, 6, 7]
        assert [event.attempt for event in events] == [1, 2, 2]
        assert events[0].timestamp >= (failed.completed_at or failed.created_at)
        assert (last, end, again.job.attempt) == (7, 2, 2)
        assert await backend.store.answers(job_id) == (2, ["first", "second"])

    async def test_a_second_end_is_settled_like_the_first(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job_id = claim.job.job_id
        first = await settled(backend.store, claim, FAILED)
        again = await taken(backend.store, await backend.store.reopen(job_id, spec=claim.spec))
        await backend.store.advance(job_id, fence=again.fence)

        second = await settled(backend.store, again, OUTCOME)

        assert (second.archived_seq, second.archive_fence) == (8, again.fence)
        assert second.active_seconds >= first.active_seconds
        assert await backend.store.events(job_id) == []
        assert [job.job_id for job in await backend.store.ended_before(seconds_ago=-1)] == [job_id]

    async def test_a_settlement_of_the_first_end_that_comes_late_changes_nothing(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job_id = claim.job.job_id
        await settled(backend.store, claim, FAILED)
        await backend.store.reopen(job_id, spec=claim.spec)
        ended = await backend.store.wish(job_id, Wish.CANCEL)

        await backend.store.settle(job_id, fence=1, archived_seq=4)
        await backend.store.settle(job_id, fence=1, archived_seq=ended.last_seq)

        assert await backend.store.get(job_id) == ended
        assert await backend.store.unsettled(older_than_seconds=0) == [job_id]

    async def test_the_worker_of_the_first_end_is_a_stranger_now(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job_id = claim.job.job_id
        await settled(backend.store, claim, FAILED)
        job = await backend.store.reopen(job_id, spec=claim.spec)

        with pytest.raises(LeaseLostError):
            await backend.store.finish(job_id, fence=1, outcome=FAILED)
        with pytest.raises(LeaseLostError):
            await backend.store.release(job_id, fence=1)

        assert await backend.store.get(job_id) == job

    async def test_a_job_that_waits_or_runs_again_is_left_as_it_is(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job_id = claim.job.job_id
        await settled(backend.store, claim, FAILED)
        states = [await backend.store.reopen(job_id, spec=claim.spec)]

        again = [await backend.store.reopen(job_id, spec=a_spec(seed=8))]
        fence = (await taken(backend.store, states[0])).fence
        states.append(await backend.store.get(job_id))
        again.append(await backend.store.reopen(job_id, spec=a_spec(seed=8)))
        await backend.store.advance(job_id, fence=fence)
        states.append(await backend.store.get(job_id))
        again.append(await backend.store.reopen(job_id, spec=a_spec(seed=8)))

        assert again == states
        assert [job.status for job in states] == ["pending", "validating", "running"]
        assert await backend.store.spec(job_id) == claim.spec

    async def test_a_job_that_has_never_failed_is_not_retried(self, backend: Backend) -> None:
        pending = await submitted(backend.store)
        validating = (await claimed(backend.store)).job
        held = (await running(backend.store)).job

        for job_id in (pending.job_id, validating.job_id, held.job_id):
            before = await backend.store.get(job_id)
            with pytest.raises(JobStateError, match="cannot be retried; it has not failed"):
                await backend.store.reopen(job_id, spec=a_spec(seed=8))
            assert await backend.store.get(job_id) == before
            assert await backend.store.spec(job_id) == a_spec()

    @pytest.mark.parametrize("outcome", [OUTCOME, CANCELLED])
    async def test_other_ends_are_final(self, backend: Backend, outcome: object) -> None:
        job = await settled(backend.store, await running(backend.store), outcome)

        with pytest.raises(JobStateError, match="cannot be retried; only a failed job can"):
            await backend.store.reopen(job.job_id, spec=a_spec())

        assert await backend.store.get(job.job_id) == job

    async def test_a_paused_job_is_resumed_and_not_retried(self, backend: Backend) -> None:
        job_id = (await submitted(backend.store)).job_id
        await backend.store.wish(job_id, Wish.PAUSE)

        with pytest.raises(JobStateError, match="resume it"):
            await backend.store.reopen(job_id, spec=a_spec())

    async def test_a_failed_job_is_settled_before_it_is_retried(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        failed = await backend.store.finish(job_id, fence=1, outcome=FAILED)

        with pytest.raises(JobStateError, match="still being put away"):
            await backend.store.reopen(job_id, spec=a_spec())

        assert await backend.store.get(job_id) == failed

    async def test_a_missing_job_is_not_found(self, backend: Backend) -> None:
        with pytest.raises(JobNotFoundError):
            await backend.store.reopen("nobody", spec=a_spec())


class TestRetryInMemory(InMemory, RetryContract):
    pass


class TestRetryOnRedis(OnRedis, RetryContract):
    pass


class TestRetryWithLostReplies(OnRedisWithLostReplies, RetryContract):
    pass
