"""Rows that no job names are orphans: they wait, leave once, and no job is accepted whose rows are just leaving."""

import pytest

from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import IdempotencyKeyReusedError, JobNotFoundError, StoreUnavailableError
from dspy_service.domain.job import NewJob
from dspy_service.ports import JobStore
from tests.contract.job_backends import Backend, InMemory, OnRedis, OnRedisWithLostReplies, running, settled
from tests.support.job_samples import a_new_job


def with_dataset(path: str, *, key: str | None = None, body: str = "aa") -> NewJob:
    return a_new_job(dataset_path=path, key=key, body=body)


class OrphanContract:
    async def test_a_dataset_is_an_orphan_once_its_last_job_is_deleted(self, backend: Backend) -> None:
        one, other = [await running(backend.store, with_dataset("datasets/a")) for _ in range(2)]
        await running(backend.store, with_dataset("datasets/b"))
        for claim in (one, other):
            await settled(backend.store, claim)

        await backend.store.delete(one.job.job_id)
        named = await backend.store.due_orphans(older_than_seconds=0)
        await backend.store.delete(other.job.job_id)
        young = await backend.store.due_orphans(older_than_seconds=5)
        await backend.let_time_pass(6)
        old = await backend.store.due_orphans(older_than_seconds=5)

        assert (named, young, old) == ([], [], ["datasets/a"])

    async def test_an_orphan_is_due_again_until_it_is_forgotten(self, backend: Backend) -> None:
        await orphaned(backend.store, "datasets/a")
        await backend.let_time_pass(6)

        first = await backend.store.due_orphans(older_than_seconds=5)
        at_once = await backend.store.due_orphans(older_than_seconds=5)
        await backend.let_time_pass(6)
        later = await backend.store.due_orphans(older_than_seconds=5)
        await backend.store.forget_orphan("datasets/a")
        await backend.let_time_pass(6)

        assert (first, at_once, later) == (["datasets/a"], [], ["datasets/a"])
        assert await backend.store.due_orphans(older_than_seconds=5) == []

    async def test_only_an_orphan_whose_deletion_has_begun_is_forgotten(self, backend: Backend) -> None:
        await orphaned(backend.store, "datasets/a")

        await backend.store.forget_orphan("datasets/a")

        assert await backend.store.due_orphans(older_than_seconds=0) == ["datasets/a"]

    async def test_an_orphan_that_is_named_again_is_none(self, backend: Backend) -> None:
        await orphaned(backend.store, "datasets/a")

        await backend.store.create(with_dataset("datasets/a"))

        assert await backend.store.due_orphans(older_than_seconds=0) == []

    async def test_no_job_may_name_a_dataset_that_is_being_deleted(self, backend: Backend) -> None:
        await orphaned(backend.store, "datasets/a")
        await backend.store.due_orphans(older_than_seconds=0)
        refused = with_dataset("datasets/a", key="k")

        with pytest.raises(StoreUnavailableError):
            await backend.store.create(refused)
        await backend.store.forget_orphan("datasets/a")
        with pytest.raises(StoreUnavailableError):
            await backend.store.create(refused)

        with pytest.raises(JobNotFoundError):
            await backend.store.get(refused.job_id)
        _, created = await backend.store.create(with_dataset("datasets/b", key="k"))
        assert created
        assert await backend.store.due_orphans(older_than_seconds=0) == ["datasets/a"]  # it was stored again

    async def test_a_dataset_that_is_stored_again_while_it_is_deleted_stays_an_orphan(self, backend: Backend) -> None:
        await backend.store.create(with_dataset("datasets/b", key="k"))
        await orphaned(backend.store, "datasets/a")
        await backend.store.due_orphans(older_than_seconds=0)

        with pytest.raises(IdempotencyKeyReusedError):
            await backend.store.create(with_dataset("datasets/a", key="k", body="bb"))
        await backend.store.forget_orphan("datasets/a")

        assert await backend.store.due_orphans(older_than_seconds=0) == ["datasets/a"]
        await backend.store.forget_orphan("datasets/a")
        assert await backend.store.due_orphans(older_than_seconds=0) == []

    async def test_noted_datasets_are_orphans_later_unless_a_job_names_them(self, backend: Backend) -> None:
        await backend.store.create(with_dataset("datasets/a"))

        await backend.store.note_orphans(["datasets/a", "datasets/b", "datasets/c"], in_seconds=10)
        await backend.store.create(with_dataset("datasets/b"))
        await backend.let_time_pass(9)
        await backend.store.note_orphans(["datasets/c"], in_seconds=10)
        early = await backend.store.due_orphans(older_than_seconds=0)
        await backend.let_time_pass(2)

        assert early == []
        assert await backend.store.due_orphans(older_than_seconds=0) == ["datasets/c"]

    async def test_noting_nothing_changes_nothing(self, backend: Backend) -> None:
        await backend.store.note_orphans([], in_seconds=0)

        assert await backend.store.due_orphans(older_than_seconds=0) == []

    async def test_the_dataset_of_a_refused_job_is_an_orphan_unless_another_names_it(self, backend: Backend) -> None:
        await backend.store.create(with_dataset("datasets/a", key="k"))
        with pytest.raises(IdempotencyKeyReusedError):
            await backend.store.create(with_dataset("datasets/b", key="k", body="bb"))
        with pytest.raises(QuotaExceededError):
            await backend.store.create(with_dataset("datasets/c").model_copy(update={"max_live_jobs": 1}))
        with pytest.raises(QuotaExceededError):
            await backend.store.create(with_dataset("datasets/a").model_copy(update={"max_live_jobs": 1}))
        await backend.let_time_pass(2)

        some = await backend.store.due_orphans(older_than_seconds=1, limit=1)
        rest = await backend.store.due_orphans(older_than_seconds=1)

        assert sorted(some + rest) == ["datasets/b", "datasets/c"]
        assert len(some) == 1


async def orphaned(store: JobStore, path: str) -> None:
    """Leave a dataset behind that no job names any more."""
    gone = await settled(store, await running(store, with_dataset(path)))
    await store.delete(gone.job_id)


class TestOrphansInMemory(InMemory, OrphanContract):
    pass


class TestOrphansOnRedis(OnRedis, OrphanContract):
    pass


class TestOrphansWithLostReplies(OnRedisWithLostReplies, OrphanContract):
    pass
