"""A run is recorded with its first event, taken once, written to by its holder alone, and ends once."""

import asyncio

import pytest

from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import IdempotencyKeyReusedError, LeaseLostError
from dspy_service.domain.result import Usage
from dspy_service.domain.serving.errors import RunNotFoundError
from dspy_service.domain.serving.run import RunError, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import Ended, Failed, StatusNoted
from tests.contract.run_backends import RunBackend, RunsInMemory, RunsOnRedis, RunsOnRedisWithLostReplies
from tests.support.run_samples import (
    COMPLETED,
    a_new_run,
    a_token,
    completed,
    facts,
    in_progress,
    kinds,
    queued,
    started,
    taken,
    the_final,
)


class CreateContract:
    async def test_a_run_is_there_with_its_first_event_and_its_place_in_the_queue(self, backend: RunBackend) -> None:
        new = a_new_run(conversation_id="c1")

        run, is_new = await backend.store.create(new, start=started(new))

        [first] = await backend.store.events(new.run_id)
        assert is_new
        assert run == await backend.store.get(new.run_id)
        assert run.model_dump(include=set(type(new).model_fields)) == new.model_dump()
        assert (run.status, run.fence, run.last_seq, run.cancel_wished) == (RunStatus.QUEUED, 0, 1, False)
        assert (first.seq, first.timestamp, first.fact) == (1, run.created_at, started(new))
        assert await backend.store.next_run() == new.run_id

    async def test_the_same_key_with_the_same_body_gives_the_same_run(self, backend: RunBackend) -> None:
        first, _ = await backend.store.create(new := a_new_run(key="k"), start=started(new))

        second, is_new = await backend.store.create(a_new_run(key="k"), start=started(new))

        assert (second, is_new) == (first, False)

    async def test_the_same_key_with_another_body_is_refused(self, backend: RunBackend) -> None:
        await queued(backend.store, a_new_run(key="k", body="aa"))

        with pytest.raises(IdempotencyKeyReusedError):
            await queued(backend.store, a_new_run(key="k", body="bb"))

    async def test_each_tenant_has_keys_of_its_own(self, backend: RunBackend) -> None:
        one = await queued(backend.store, a_new_run(key="k", tenant="one"))

        other = await queued(backend.store, a_new_run(key="k", tenant="other", body="bb"))

        assert one.run_id != other.run_id

    async def test_a_key_is_forgotten_after_a_day(self, backend: RunBackend) -> None:
        first = await queued(backend.store, a_new_run(key="k"))
        await backend.let_time_pass(24 * 3600 + 1)

        second = await queued(backend.store, a_new_run(key="k", body="bb"))

        assert second.run_id != first.run_id

    async def test_a_tenant_has_no_more_live_runs_than_it_may(self, backend: RunBackend) -> None:
        await in_progress(backend.store)
        ended = await queued(backend.store)
        await queued(backend.store, a_new_run(tenant="other"))
        new = a_new_run()

        with pytest.raises(QuotaExceededError, match="2 of your runs"):
            await backend.store.create(new, start=started(new), max_live_runs=2)
        await backend.store.cancel(ended.run_id, reason="asked")
        _, is_new = await backend.store.create(new, start=started(new), max_live_runs=2)

        assert is_new

    async def test_a_run_that_nobody_made_is_not_found(self, backend: RunBackend) -> None:
        with pytest.raises(RunNotFoundError):
            await backend.store.get("nobody")

        assert await backend.store.events("nobody") == []
        assert await backend.store.trimmed("nobody") == []


class LeaseContract:
    async def test_a_claim_raises_the_fence_and_starts_the_run(self, backend: RunBackend) -> None:
        run = await queued(backend.store)

        claimed = await taken(backend.store, run)

        assert claimed == await backend.store.get(run.run_id)
        assert (claimed.fence, claimed.status) == (1, RunStatus.IN_PROGRESS)
        assert claimed.started_at is not None
        assert claimed.started_at >= run.created_at
        assert await backend.store.next_run() is None

    async def test_sixteen_racing_claims_have_one_winner(self, backend: RunBackend) -> None:
        run = await queued(backend.store)

        claims = await asyncio.gather(
            *(backend.store.claim(run.run_id, owner=f"w{n}", lease_seconds=15) for n in range(16))
        )

        assert sum(claim is not None for claim in claims) == 1

    async def test_there_is_nothing_to_take_in_a_missing_a_held_or_an_ended_run(self, backend: RunBackend) -> None:
        held = await in_progress(backend.store)
        ended = await completed(backend.store)

        for run_id in ("nobody", held.run_id, ended.run_id):
            assert await backend.store.claim(run_id, owner="w2", lease_seconds=15) is None

    async def test_whoever_does_not_hold_the_run_writes_nothing(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        waiting = await queued(backend.store)

        for run_id, fence in ((run.run_id, 0), (run.run_id, 2), (waiting.run_id, 0), ("nobody", 1)):
            with pytest.raises(LeaseLostError):
                await backend.store.append(run_id, fence=fence, facts=[a_token("x")], batch=1)
            with pytest.raises(LeaseLostError):
                await backend.store.renew(run_id, fence=fence, lease_seconds=15)
            with pytest.raises(LeaseLostError):
                await backend.store.finish(run_id, fence=fence, outcome=COMPLETED, facts=[])

        assert await backend.store.get(run.run_id) == run
        assert await backend.store.get(waiting.run_id) == waiting
        for stale in (0, 2):
            with pytest.raises(LeaseLostError):
                await backend.store.release(run.run_id, fence=stale)

    async def test_events_are_numbered_in_order_and_a_batch_counts_once(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        batch = [a_token("Oh "), a_token("my ", offset=3), a_token("wörld \U0001f600", offset=6)]

        lasts = [
            await backend.store.append(run.run_id, fence=1, facts=batch, batch=1),
            await backend.store.append(run.run_id, fence=1, facts=batch, batch=1),
            await backend.store.append(run.run_id, fence=1, facts=[a_token("!")], batch=2),
            await backend.store.append(run.run_id, fence=1, facts=batch, batch=1),
        ]

        events = await backend.store.events(run.run_id, after=1)
        assert lasts == [4, 4, 5, 5]
        assert [event.seq for event in events] == [2, 3, 4, 5]
        assert facts(events) == [*batch, a_token("!")]
        assert (await backend.store.get(run.run_id)).last_seq == 5
        assert [e.seq for e in await backend.store.events(run.run_id, after=2, limit=2)] == [3, 4]

    async def test_the_first_output_has_its_time_on_the_record(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        status = StatusNoted(stage="lm", phase="start", name="demo", message="asking")
        await backend.store.append(run.run_id, fence=1, facts=[status], batch=1)
        before = (await backend.store.get(run.run_id)).first_token_at
        await backend.store.append(run.run_id, fence=1, facts=[a_token("x")], batch=2)
        await backend.store.append(run.run_id, fence=1, facts=[a_token("y")], batch=3)

        first_token_at = (await backend.store.get(run.run_id)).first_token_at

        assert before is None
        assert first_token_at == (await backend.store.events(run.run_id, after=2, limit=1))[0].timestamp

    async def test_times_of_events_never_go_back(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await backend.store.append(run.run_id, fence=1, facts=[a_token("x")], batch=1)
        await backend.put_clock_back(run.run_id)
        await backend.store.append(run.run_id, fence=1, facts=[a_token("y")], batch=2)

        times = [event.timestamp for event in await backend.store.events(run.run_id)]

        assert times == sorted(times)

    @pytest.mark.parametrize("forged", [Ended(status=RunStatus.COMPLETED)], ids=["end"])
    async def test_only_the_store_says_end(self, backend: RunBackend, forged: Ended) -> None:
        run = await in_progress(backend.store)

        with pytest.raises(ValueError, match="'end'"):
            await backend.store.append(run.run_id, fence=1, facts=[forged], batch=1)
        with pytest.raises(ValueError, match="'end'"):
            await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[forged])

        assert await backend.store.get(run.run_id) == run


class FinishContract:
    async def test_a_run_ends_with_its_last_events_and_end_behind_them(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        usage = Usage(total_calls=1, total_tokens=12, cost_usd=0.001)
        outcome = RunOutcome(status=RunStatus.COMPLETED, usage=usage, finish_reason="stop")

        ended = await backend.store.finish(run.run_id, fence=1, outcome=outcome, facts=[the_final("blue")])

        events = await backend.store.events(run.run_id)
        assert ended == await backend.store.get(run.run_id)
        assert (ended.status, ended.usage, ended.finish_reason, ended.error) == (outcome.status, usage, "stop", None)
        assert facts(events)[1:] == [the_final("blue"), Ended(status=RunStatus.COMPLETED)]
        assert ended.completed_at == ended.first_token_at == events[-1].timestamp
        assert ended.last_seq == events[-1].seq == 3

    async def test_a_failure_is_on_the_record(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        error = RunError(code="lm_rate_limited", message="Try later.", retryable=True, retry_after_seconds=2.5)
        outcome = RunOutcome(status=RunStatus.FAILED, error=error)

        ended = await backend.store.finish(
            run.run_id, fence=1, outcome=outcome, facts=[Failed(error=error, partial=False)]
        )

        assert (ended.status, ended.error, ended.first_token_at) == (RunStatus.FAILED, error, None)
        assert kinds(await backend.store.events(run.run_id)) == ["start", "error", "end"]

    async def test_finishing_again_answers_as_the_first_time(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        first = await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("blue")])

        second = await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("blue")])

        assert second == first
        assert kinds(await backend.store.events(run.run_id)) == ["start", "final", "end"]

    async def test_a_terminal_state_never_changes(self, backend: RunBackend) -> None:
        ended = await completed(backend.store)
        failed = RunOutcome(status=RunStatus.FAILED)

        with pytest.raises(LeaseLostError):
            await backend.store.finish(ended.run_id, fence=1, outcome=failed, facts=[])
        with pytest.raises(LeaseLostError):
            await backend.store.append(ended.run_id, fence=1, facts=[a_token("late")], batch=9)
        with pytest.raises(LeaseLostError):
            await backend.store.renew(ended.run_id, fence=1, lease_seconds=15)
        with pytest.raises(LeaseLostError):
            await backend.store.release(ended.run_id, fence=1)
        cancelled = await backend.store.cancel(ended.run_id, reason="asked")

        assert cancelled == ended == await backend.store.get(ended.run_id)
        assert await backend.store.reap(lease_seconds=0) == []
        assert kinds(await backend.store.events(ended.run_id))[-1] == "end"

    async def test_a_run_cannot_finish_as_live(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)

        with pytest.raises(ValueError, match="queued is no end"):
            await backend.store.finish(run.run_id, fence=1, outcome=RunOutcome(status=RunStatus.QUEUED), facts=[])

    async def test_the_log_is_kept_for_a_while_and_the_record_for_a_day(self, backend: RunBackend) -> None:
        ended = await completed(backend.store)

        await backend.let_time_pass(890)
        assert len(await backend.store.events(ended.run_id)) == 3
        await backend.let_time_pass(20)
        assert await backend.store.events(ended.run_id) == []
        assert (await backend.store.get(ended.run_id)).status is RunStatus.COMPLETED
        await backend.let_time_pass(24 * 3600)
        with pytest.raises(RunNotFoundError):
            await backend.store.get(ended.run_id)

    async def test_a_live_run_is_kept_however_old_it_is(self, backend: RunBackend) -> None:
        run = await queued(backend.store)

        await backend.let_time_pass(48 * 3600)

        assert await backend.store.next_run() == run.run_id
        assert len(await backend.store.events(run.run_id)) == 1


class RecordsContract(CreateContract, LeaseContract, FinishContract):
    pass


class TestRecordsInMemory(RunsInMemory, RecordsContract):
    pass


class TestRecordsOnRedis(RunsOnRedis, RecordsContract):
    pass


class TestRecordsWithLostReplies(RunsOnRedisWithLostReplies, RecordsContract):
    pass
