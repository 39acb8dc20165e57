"""A worker owns a job by its fence: one winner, no write of a stale worker, one end."""

import asyncio

import pytest

from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.job import JobStatus, Wish
from tests.contract.job_backends import Backend, InMemory, OnRedis, OnRedisWithLostReplies, claimed, running, submitted
from tests.support.job_samples import FAILED, OUTCOME, a_log, a_new_job, a_spec


class LeaseContract:
    async def test_a_claim_raises_fence_and_attempt_and_hands_over_the_spec(self, backend: Backend) -> None:
        spec = a_spec(metric_code="def metric(example, prediction, trace=None):\n    return 1.0  # é \U0001f600")
        new = a_new_job(spec=spec)

        claim = await claimed(backend.store, new)

        assert claim.spec == spec
        assert claim.job == await backend.store.get(new.job_id)
        assert (claim.fence, claim.job.attempt, claim.job.status) == (1, 1, JobStatus.VALIDATING)
        assert (claim.job.owner, claim.job.sandbox_level) == ("w1", "L1")
        assert claim.job.started_at == claim.job.attempt_started_at is not None
        assert await backend.store.due(limit=10) == []

    async def test_sixteen_racing_claims_have_one_winner(self, backend: Backend) -> None:
        job = await submitted(backend.store)

        claims = await asyncio.gather(
            *(backend.store.claim(job.job_id, owner=f"w{n}", lease_seconds=15, sandbox_level="L1") for n in range(16)),
        )

        [winner] = [claim for claim in claims if claim is not None]
        assert (await backend.store.get(job.job_id)).owner == winner.job.owner

    async def test_there_is_nothing_to_claim_in_a_missing_a_running_or_an_ended_job(self, backend: Backend) -> None:
        held = (await running(backend.store)).job.job_id
        ended = (await running(backend.store)).job.job_id
        await backend.store.finish(ended, fence=1, outcome=OUTCOME)

        for job_id in ("nobody", held, ended):
            assert await backend.store.claim(job_id, owner="w2", lease_seconds=15, sandbox_level="L1") is None

    async def test_a_stale_worker_cannot_write(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        before = await backend.store.get(job_id)

        for fence in (0, 2):
            with pytest.raises(LeaseLostError):
                await backend.store.append(job_id, fence=fence, events=[a_log("x")], message="x", eta_seconds=1)
            with pytest.raises(LeaseLostError):
                await backend.store.advance(job_id, fence=fence)
            with pytest.raises(LeaseLostError):
                await backend.store.renew(job_id, fence=fence, lease_seconds=15)
            with pytest.raises(LeaseLostError):
                await backend.store.finish(job_id, fence=fence, outcome=OUTCOME)

        assert await backend.store.get(job_id) == before

    async def test_nobody_holds_a_job_that_is_pending_or_missing(self, backend: Backend) -> None:
        job = await submitted(backend.store)

        for job_id in (job.job_id, "nobody"):
            with pytest.raises(LeaseLostError):
                await backend.store.renew(job_id, fence=0, lease_seconds=15)
            with pytest.raises(LeaseLostError):
                await backend.store.finish(job_id, fence=0, outcome=FAILED)

    async def test_a_heartbeat_reads_the_wish(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id

        first = await backend.store.renew(job_id, fence=1, lease_seconds=15)
        await backend.store.wish(job_id, Wish.CANCEL)
        second = await backend.store.renew(job_id, fence=1, lease_seconds=15)

        assert (first, second) == (Wish.GO_ON, Wish.CANCEL)

    async def test_advancing_twice_tells_it_once(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id

        await backend.store.advance(job_id, fence=1)

        states = [event.data["status"] for event in await backend.store.events(job_id)]
        assert states == ["pending", "validating", "running"]
        assert (await backend.store.get(job_id)).status is JobStatus.RUNNING

    async def test_a_job_ends_with_its_terminal_event(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id

        job = await backend.store.finish(job_id, fence=1, outcome=OUTCOME)

        last = (await backend.store.events(job_id))[-1]
        assert job == await backend.store.get(job_id)
        assert (job.status, job.termination_reason, job.message) == (JobStatus.SUCCESS, "completed", "done")
        assert (job.result_path, job.result_fence, job.has_artifact, job.eta_at) == ("jobs/1", 1, True, None)
        assert job.completed_at == last.timestamp
        assert last.seq == job.last_seq
        assert last.data == {"status": "success", "message": "done", "termination_reason": "completed"}

    async def test_finishing_again_answers_as_the_first_time(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        first = await backend.store.finish(job_id, fence=1, outcome=OUTCOME)

        second = await backend.store.finish(job_id, fence=1, outcome=OUTCOME)

        assert second == first
        assert len(await backend.store.events(job_id)) == 4

    async def test_a_terminal_state_never_changes(self, backend: Backend) -> None:
        job_id = (await claimed(backend.store)).job.job_id
        ended = await backend.store.finish(job_id, fence=1, outcome=FAILED)

        with pytest.raises(LeaseLostError):
            await backend.store.finish(job_id, fence=1, outcome=OUTCOME)
        with pytest.raises(LeaseLostError):
            await backend.store.append(job_id, fence=1, events=[a_log("late")])
        with pytest.raises(LeaseLostError):
            await backend.store.advance(job_id, fence=1)

        assert await backend.store.get(job_id) == ended
        assert ended.result_path is None

    async def test_a_job_that_never_ran_cannot_succeed(self, backend: Backend) -> None:
        job_id = (await claimed(backend.store)).job.job_id

        with pytest.raises(ValueError, match="a validating job cannot become success"):
            await backend.store.finish(job_id, fence=1, outcome=OUTCOME)

        assert (await backend.store.get(job_id)).status is JobStatus.VALIDATING


class TestLeaseInMemory(InMemory, LeaseContract):
    pass


class TestLeaseOnRedis(OnRedis, LeaseContract):
    pass


class TestLeaseWithLostReplies(OnRedisWithLostReplies, LeaseContract):
    pass
