"""Runs whose worker is known to be dead."""

import pytest

from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.serving.run import RunStatus
from tests.contract.run_backends import RunBackend, RunsInMemory, RunsOnRedis, RunsOnRedisWithLostReplies
from tests.support.run_samples import COMPLETED, a_token, in_progress, kinds, queued, taken


class LossContract:
    async def test_runs_of_a_dead_owner_end_at_once_and_others_go_on(self, backend: RunBackend) -> None:
        lost = await in_progress(backend.store)
        asked = await in_progress(backend.store)
        await backend.store.cancel(asked.run_id, reason="asked")
        held = await queued(backend.store)
        await taken(backend.store, held, owner="w2")

        await backend.store.lose(["nobody", "w1"])

        told = await backend.store.reap(lease_seconds=0)
        assert [(run.run_id, run.status) for run in told] == [
            (lost.run_id, RunStatus.FAILED),
            (asked.run_id, RunStatus.CANCELLED),
        ]
        assert told[0].error is not None
        assert (told[0].error.code, told[0].error.retryable) == ("worker_lost", True)
        assert kinds(await backend.store.events(lost.run_id)) == ["start", "error", "end"]
        assert (await backend.store.get(held.run_id)).status is RunStatus.IN_PROGRESS
        with pytest.raises(LeaseLostError):
            await backend.store.append(lost.run_id, fence=1, facts=[a_token("x")], batch=1)

    async def test_what_a_dead_owner_had_given_back_or_ended_is_left_alone(self, backend: RunBackend) -> None:
        ended = await in_progress(backend.store)
        await backend.store.finish(ended.run_id, fence=1, outcome=COMPLETED, facts=[])
        given_back = await in_progress(backend.store)
        await backend.store.release(given_back.run_id, fence=1)

        await backend.store.lose(["w1"])

        assert await backend.store.reap(lease_seconds=0) == []
        assert (await backend.store.get(given_back.run_id)).status is RunStatus.QUEUED


class TestLossesInMemory(RunsInMemory, LossContract):
    pass


class TestLossesOnRedis(RunsOnRedis, LossContract):
    pass


class TestLossesWithLostReplies(RunsOnRedisWithLostReplies, LossContract):
    pass
