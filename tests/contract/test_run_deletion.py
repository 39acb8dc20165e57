"""Runs that somebody wants forgotten."""

import pytest
import redis.asyncio as redis

from dspy_service.domain.serving.errors import RunNotFoundError
from dspy_service.domain.serving.run import RunStatus
from tests.contract.run_backends import RunBackend, RunsInMemory, RunsOnRedis, RunsOnRedisWithLostReplies
from tests.support.run_samples import a_new_run, completed, in_progress, queued, started


class DeletionContract:
    async def test_a_run_that_has_ended_is_forgotten_with_its_events(self, backend: RunBackend) -> None:
        run, other = await completed(backend.store), await completed(backend.store)

        is_gone = await backend.store.delete(run.run_id)

        assert is_gone
        with pytest.raises(RunNotFoundError):
            await backend.store.get(run.run_id)
        assert await backend.store.events(run.run_id) == await backend.store.trimmed(run.run_id) == []
        assert (await backend.store.get(other.run_id)).status is RunStatus.COMPLETED

    async def test_a_run_that_has_not_ended_stays(self, backend: RunBackend) -> None:
        waiting, working = await queued(backend.store), await in_progress(backend.store)

        are_gone = [await backend.store.delete(each.run_id) for each in (waiting, working)]

        assert are_gone == [False, False]
        assert await backend.store.next_run() == waiting.run_id
        assert not await backend.store.renew(working.run_id, fence=1, lease_seconds=15)

    async def test_what_is_not_there_is_gone(self, backend: RunBackend) -> None:
        run = await completed(backend.store)
        await backend.store.delete(run.run_id)

        assert await backend.store.delete(run.run_id)
        assert await backend.store.delete("nobody")

    async def test_nobody_is_told_of_a_deleted_run(self, backend: RunBackend) -> None:
        run = await queued(backend.store)
        await backend.store.cancel(run.run_id, reason="asked")

        await backend.store.delete(run.run_id)

        assert await backend.store.reap(lease_seconds=0) == []

    async def test_the_idempotency_key_of_a_deleted_run_is_free(self, backend: RunBackend) -> None:
        run = await completed(backend.store, a_new_run(key="k1"))
        await backend.store.delete(run.run_id)
        new = a_new_run(key="k1", body="bb")

        made, is_new = await backend.store.create(new, start=started(new))

        assert (made.run_id, is_new) == (new.run_id, True)


class TestDeletionInMemory(RunsInMemory, DeletionContract):
    pass


class TestDeletionOnRedis(RunsOnRedis, DeletionContract):
    async def test_no_key_of_it_remains(self, backend: RunBackend, raw_redis: redis.Redis) -> None:
        run = await completed(backend.store, a_new_run(key="k1"))
        before = [key for key in await raw_redis.keys("*") if run.run_id in key]

        await backend.store.delete(run.run_id)

        assert before
        assert [key for key in await raw_redis.keys("*") if run.run_id in key] == []


class TestDeletionWithLostReplies(RunsOnRedisWithLostReplies, DeletionContract):
    pass
