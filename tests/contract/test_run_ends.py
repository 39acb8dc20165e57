"""Runs that no worker ends by itself: cancelled, given back, lost, and those whose readers have gone."""

import pytest

from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.serving.errors import RunNotFoundError
from dspy_service.domain.serving.run import RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import Cancelled, Ended, Failed, StatusNoted
from tests.contract.run_backends import RunBackend, RunsInMemory, RunsOnRedis, RunsOnRedisWithLostReplies
from tests.support.run_samples import COMPLETED, a_new_run, a_token, facts, in_progress, kinds, queued, started, taken

ASKING = StatusNoted(stage="lm", phase="start", name="demo", message="asking")
CANCELLED = RunOutcome(status=RunStatus.CANCELLED)


class CancelContract:
    async def test_a_queued_run_ends_at_once(self, backend: RunBackend) -> None:
        run = await queued(backend.store)

        ended = await backend.store.cancel(run.run_id, reason="asked")

        events = await backend.store.events(run.run_id)
        assert (ended.status, ended.cancel_reason) == (RunStatus.CANCELLED, "asked")
        assert facts(events)[1:] == [Cancelled(reason="asked"), Ended(status=RunStatus.CANCELLED)]
        assert (ended.last_seq, ended.completed_at) == (3, events[-1].timestamp)
        assert await backend.store.next_run() is None
        assert await backend.store.claim(run.run_id, owner="w1", lease_seconds=15) is None

    async def test_a_worker_hears_the_wish_and_ends_the_run(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        before = await backend.store.renew(run.run_id, fence=1, lease_seconds=15)

        asked = await backend.store.cancel(run.run_id, reason="asked")
        heard = await backend.store.renew(run.run_id, fence=1, lease_seconds=15)
        await backend.store.append(run.run_id, fence=1, facts=[a_token("last words")], batch=1)
        ended = await backend.store.finish(run.run_id, fence=1, outcome=CANCELLED, facts=[Cancelled(reason="asked")])

        assert (before, heard) == (False, True)
        assert (asked.status, asked.cancel_reason, asked.cancel_wished) == (RunStatus.IN_PROGRESS, "asked", True)
        assert ended.status is RunStatus.CANCELLED
        assert kinds(await backend.store.events(run.run_id)) == ["start", "token", "cancelled", "end"]

    async def test_a_run_whose_worker_has_gone_ends_at_once(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await backend.let_time_pass(16)

        ended = await backend.store.cancel(run.run_id, reason="asked")

        assert (ended.status, ended.fence) == (RunStatus.CANCELLED, 2)
        assert kinds(await backend.store.events(run.run_id)) == ["start", "cancelled", "end"]
        with pytest.raises(LeaseLostError):
            await backend.store.append(run.run_id, fence=1, facts=[a_token("x")], batch=1)

    async def test_the_first_reason_stays_unless_the_turn_is_rolled_back(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)

        reasons = [
            (await backend.store.cancel(run.run_id, reason=reason)).cancel_reason
            for reason in ("disconnected", "asked", "rolled_back", "asked")
        ]

        assert reasons == ["disconnected", "disconnected", "rolled_back", "rolled_back"]

    async def test_an_answer_that_was_ready_counts(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await backend.store.cancel(run.run_id, reason="asked")

        ended = await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[])

        assert (ended.status, ended.cancel_reason) == (RunStatus.COMPLETED, "asked")

    async def test_a_run_that_nobody_made_cannot_be_cancelled(self, backend: RunBackend) -> None:
        with pytest.raises(RunNotFoundError):
            await backend.store.cancel("nobody", reason="asked")

    async def test_a_worker_sees_which_of_its_runs_are_to_end(self, backend: RunBackend) -> None:
        goes_on, asked, lost = [(await in_progress(backend.store)).run_id for _ in range(3)]
        await backend.store.cancel(asked, reason="asked")
        await backend.store.finish(lost, fence=1, outcome=COMPLETED, facts=[])

        wished = await backend.store.wished([goes_on, asked, lost, "nobody"])

        assert wished == [asked, lost, "nobody"]
        assert await backend.store.wished([]) == []


class ReleaseContract:
    async def test_a_run_without_output_goes_back_to_its_place(self, backend: RunBackend) -> None:
        first = await queued(backend.store)
        second = await queued(backend.store)
        await taken(backend.store, first)
        await backend.store.append(first.run_id, fence=1, facts=[ASKING], batch=1)

        released = await backend.store.release(first.run_id, fence=1)

        assert (released.status, released.fence) == (RunStatus.QUEUED, 1)
        assert await backend.store.next_run() == first.run_id != second.run_id
        with pytest.raises(LeaseLostError):
            await backend.store.append(first.run_id, fence=1, facts=[ASKING], batch=2)

    async def test_a_run_that_was_given_back_can_be_taken_and_its_batches_count_anew(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await backend.store.append(run.run_id, fence=1, facts=[ASKING], batch=1)
        await backend.store.release(run.run_id, fence=1)

        again = await taken(backend.store, run, owner="w2")
        await backend.store.append(run.run_id, fence=2, facts=[ASKING], batch=1)

        assert (again.fence, again.started_at) == (2, run.started_at)
        assert kinds(await backend.store.events(run.run_id)) == ["start", "status", "status"]

    async def test_part_of_an_answer_cannot_be_taken_back(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await backend.store.append(run.run_id, fence=1, facts=[a_token("x")], batch=1)

        released = await backend.store.release(run.run_id, fence=1)

        [failed] = [fact for fact in facts(await backend.store.events(run.run_id)) if isinstance(fact, Failed)]
        assert (released.status, released.error) == (RunStatus.FAILED, failed.error)
        assert (failed.error.code, failed.error.retryable, failed.partial) == ("worker_lost", True, True)
        assert kinds(await backend.store.events(run.run_id))[-1] == "end"

    async def test_one_that_was_asked_to_end_is_cancelled(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await backend.store.cancel(run.run_id, reason="disconnected")

        released = await backend.store.release(run.run_id, fence=1)

        assert (released.status, released.error) == (RunStatus.CANCELLED, None)
        assert await backend.store.reap(lease_seconds=0) == [released]
        assert Cancelled(reason="disconnected") in facts(await backend.store.events(run.run_id))

    async def test_giving_back_twice_answers_twice(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)

        first = await backend.store.release(run.run_id, fence=1)

        assert await backend.store.release(run.run_id, fence=1) == first


class ReapContract:
    async def test_a_run_whose_worker_is_silent_fails(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        held = await in_progress(backend.store)
        await backend.let_time_pass(10)
        await backend.store.renew(held.run_id, fence=1, lease_seconds=15)
        await backend.let_time_pass(6)

        [lost] = await backend.store.reap(lease_seconds=0)

        [failed] = [fact for fact in facts(await backend.store.events(run.run_id)) if isinstance(fact, Failed)]
        assert lost == await backend.store.get(run.run_id)
        assert (lost.status, lost.fence, lost.error) == (RunStatus.FAILED, 2, failed.error)
        assert (failed.error.code, failed.error.retryable, failed.partial) == ("worker_lost", True, False)
        assert kinds(await backend.store.events(run.run_id)) == ["start", "error", "end"]
        assert await backend.store.reap(lease_seconds=0) == []
        with pytest.raises(LeaseLostError):
            await backend.store.finish(run.run_id, fence=1, outcome=RunOutcome(status=RunStatus.FAILED), facts=[])

    async def test_its_error_says_that_some_of_the_answer_was_sent(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await backend.store.append(run.run_id, fence=1, facts=[a_token("x")], batch=1)
        await backend.let_time_pass(16)

        await backend.store.reap(lease_seconds=0)

        [failed] = [fact for fact in facts(await backend.store.events(run.run_id)) if isinstance(fact, Failed)]
        assert failed.partial

    async def test_one_that_was_asked_to_end_is_cancelled(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await backend.store.cancel(run.run_id, reason="asked")
        await backend.let_time_pass(16)

        [lost] = await backend.store.reap(lease_seconds=0)

        assert (lost.run_id, lost.status, lost.error) == (run.run_id, RunStatus.CANCELLED, None)

    async def test_nobody_is_reaped_while_the_store_has_just_come_up(self, backend: RunBackend) -> None:
        await in_progress(backend.store)
        await backend.let_time_pass(16)
        await backend.has_just_started()

        assert await backend.store.reap(lease_seconds=7200) == []
        assert len(await backend.store.reap(lease_seconds=0)) == 1

    async def test_whoever_ended_without_a_worker_is_told_once(self, backend: RunBackend) -> None:
        cancelled = await queued(backend.store)
        await backend.store.cancel(cancelled.run_id, reason="asked")
        interrupted = await queued(backend.store, a_new_run(conversation_id="c1"))
        new = a_new_run(conversation_id="c1")
        await backend.store.create(new, start=started(new), multitask="interrupt")
        held = await in_progress(backend.store)
        await backend.store.cancel(held.run_id, reason="asked")
        await backend.store.finish(held.run_id, fence=1, outcome=CANCELLED, facts=[])

        told = await backend.store.reap(lease_seconds=0)

        assert [run.run_id for run in told] == [cancelled.run_id, interrupted.run_id]
        assert {run.status for run in told} == {RunStatus.CANCELLED}
        assert await backend.store.reap(lease_seconds=0) == []

    async def test_so_many_are_reaped_at_a_time(self, backend: RunBackend) -> None:
        for _ in range(3):
            await in_progress(backend.store)
        await backend.let_time_pass(16)

        counts = [len(await backend.store.reap(lease_seconds=0, limit=2)) for _ in range(2)]

        assert counts == [2, 1]


class ReaderContract:
    async def test_a_run_that_ends_with_its_readers_ends_when_they_have_gone(self, backend: RunBackend) -> None:
        waiting = await queued(backend.store, a_new_run(on_disconnect="cancel"))
        held = await in_progress(backend.store, a_new_run(on_disconnect="cancel"))
        await backend.let_time_pass(20)
        await backend.store.renew(held.run_id, fence=1, lease_seconds=60)
        assert await backend.store.reap(lease_seconds=0) == []
        await backend.let_time_pass(11)

        [ended] = await backend.store.reap(lease_seconds=0)

        assert (ended.run_id, ended.status) == (waiting.run_id, RunStatus.CANCELLED)
        assert (await backend.store.get(held.run_id)).cancel_reason == "disconnected"
        assert await backend.store.wished([held.run_id]) == [held.run_id]

    async def test_a_reader_keeps_it_alive(self, backend: RunBackend) -> None:
        run = await queued(backend.store, a_new_run(on_disconnect="cancel"))
        await backend.let_time_pass(20)
        again_in_seconds = await backend.store.attend(run.run_id)
        await backend.let_time_pass(20)

        assert again_in_seconds == 10
        assert await backend.store.reap(lease_seconds=0) == []
        await backend.let_time_pass(11)
        assert [each.run_id for each in await backend.store.reap(lease_seconds=0)] == [run.run_id]

    async def test_any_other_run_needs_no_reader(self, backend: RunBackend) -> None:
        run = await queued(backend.store, a_new_run(on_disconnect="continue"))
        await backend.store.attend(run.run_id)
        await backend.let_time_pass(3600)

        assert await backend.store.reap(lease_seconds=0) == []

    async def test_one_that_has_ended_is_left_alone(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store, a_new_run(on_disconnect="cancel"))
        ended = await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[])
        await backend.store.attend(run.run_id)
        await backend.let_time_pass(60)

        assert await backend.store.reap(lease_seconds=0) == []
        assert (await backend.store.get(run.run_id)).status is ended.status


class EndsContract(CancelContract, ReleaseContract, ReapContract, ReaderContract):
    pass


class TestEndsInMemory(RunsInMemory, EndsContract):
    pass


class TestEndsOnRedis(RunsOnRedis, EndsContract):
    pass


class TestEndsWithLostReplies(RunsOnRedisWithLostReplies, EndsContract):
    pass
