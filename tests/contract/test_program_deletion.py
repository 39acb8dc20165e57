"""Versions and programs can be deleted, are as many as may be, and lose their files only when nobody names them."""

import pytest
from redis.asyncio import Redis

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.serving.errors import (
    LimitReachedError,
    ProgramInUseError,
    ProgramNotFoundError,
    ProgramVersionActiveError,
    ProgramVersionInUseError,
)
from dspy_service.ports.serving.programs import ProgramStore
from tests.contract.program_backends import (
    ProgramBackend,
    ProgramsInMemory,
    ProgramsOnRedis,
    ProgramsOnRedisWithLostReplies,
    deploy,
)
from tests.support.served_programs import a_new_version

A = "a" * 64
DAY = 86_400


async def numbers(store: ProgramStore, *, before: int | None = None, limit: int = 20) -> list[int]:
    found, _ = await store.versions("local", "answers", before=before, limit=limit)
    return [each.version for each in found]


async def retire_and_delete(store: ProgramStore, version: int) -> None:
    await store.retire("local", "answers", version)
    await store.delete_version("local", "answers", version)


class DeletionContract:
    @pytest.fixture
    def store(self, backend: ProgramBackend) -> ProgramStore:
        return backend.store

    async def test_a_retired_version_is_deleted_and_its_number_is_not_given_again(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b", "c", "d")
        await retire_and_delete(store, 2)
        await retire_and_delete(store, 4)

        await deploy(store, "d")

        assert await numbers(store) == [5, 3, 1]
        assert await numbers(store, before=5, limit=1) == [3]
        with pytest.raises(ProgramNotFoundError):
            await store.version("local", "answers", 4)
        with pytest.raises(ProgramNotFoundError):
            await store.delete_version("local", "answers", 2)

    async def test_the_newest_version_is_one_that_is_there(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b", "c")
        await retire_and_delete(store, 3)

        same, is_new = await store.add_version(a_new_version(digest="b"))

        assert (await store.program("local", "answers")).latest_version == 2
        assert (same.version, is_new) == (2, False)

    async def test_a_version_that_may_be_called_is_not_deleted(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b")

        with pytest.raises(ProgramVersionActiveError):
            await store.delete_version("local", "answers", 2)
        with pytest.raises(ProgramVersionInUseError) as caught:
            await store.delete_version("local", "answers", 1)

        assert caught.value.alias == "production"
        assert await numbers(store) == [2, 1]

    async def test_the_key_of_a_deleted_version_makes_a_new_one(self, store: ProgramStore) -> None:
        await deploy(store, "a")
        await store.add_version(a_new_version(digest="b"), idempotency_key="k")
        await retire_and_delete(store, 2)

        again, is_new = await store.add_version(a_new_version(digest="c"), idempotency_key="k")

        assert (again.version, is_new) == (3, True)

    async def test_a_deleted_program_is_forgotten_with_its_versions(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b")
        await deploy(store, "a", program="other")

        await store.delete("local", "answers")

        assert [each.name for each in (await store.programs("local"))[0]] == ["other"]
        for asked in (
            store.program("local", "answers"),
            store.version("local", "answers", 1),
            store.versions("local", "answers"),
            store.delete("local", "answers"),
            store.delete("acme", "other"),
            store.delete_version("acme", "other", 1),
        ):
            with pytest.raises(ProgramNotFoundError):
                await asked

    async def test_a_program_that_is_made_again_goes_on_with_its_numbers(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b")
        [before] = (await store.program("local", "answers")).aliases
        await store.delete("local", "answers")

        again, is_new = await store.add_version(a_new_version(digest="a"))

        [alias] = (await store.program("local", "answers")).aliases
        assert (again.version, is_new) == (3, True)
        assert (alias.name, alias.version, alias.previous_version) == ("production", 3, None)
        assert alias.revision > before.revision

    async def test_a_program_with_an_alias_that_somebody_made_is_not_deleted(self, store: ProgramStore) -> None:
        await deploy(store, "a")
        await store.move_alias("local", "answers", "beta", version=1)

        with pytest.raises(ProgramInUseError) as caught:
            await store.delete("local", "answers")

        assert caught.value.alias == "beta"
        assert await numbers(store) == [1]


class LimitContract:
    @pytest.fixture
    def store(self, backend: ProgramBackend) -> ProgramStore:
        return backend.store

    async def test_a_tenant_serves_as_many_programs_as_it_may(self, store: ProgramStore) -> None:
        await deploy(store, "a", program="foreign", tenant="acme")
        await store.add_version(a_new_version("one"), max_programs=2)
        await store.add_version(a_new_version("two"), max_programs=2)

        with pytest.raises(LimitReachedError, match="2 programs") as caught:
            await store.add_version(a_new_version("three"), max_programs=2)
        _, is_new = await store.add_version(a_new_version("two", digest="b"), max_programs=2)
        await store.delete("local", "one")
        await store.add_version(a_new_version("three"), max_programs=2)

        assert (caught.value.what, is_new) == ("programs", True)
        assert [each.name for each in (await store.programs("local"))[0]] == ["three", "two"]

    async def test_a_program_has_as_many_versions_as_it_may(self, store: ProgramStore) -> None:
        for digest in ("a", "b"):
            await store.add_version(a_new_version(digest=digest), max_versions=2)

        with pytest.raises(LimitReachedError, match="2 versions"):
            await store.add_version(a_new_version(digest="c"), max_versions=2)
        _, is_new = await store.add_version(a_new_version(digest="b"), max_versions=2)
        await retire_and_delete(store, 2)
        await store.add_version(a_new_version(digest="c"), max_versions=2)

        assert not is_new
        assert await numbers(store) == [3, 1]


class LeftFilesContract:
    async def test_files_that_a_version_names_stay(self, backend: ProgramBackend) -> None:
        await deploy(backend.store, "b", "a")
        await backend.store.retire("local", "answers", 2)

        assert await backend.store.leave("local", "answers", A, unnamed_seconds=0) is None

    async def test_files_that_nobody_has_named_for_a_day_may_go(self, backend: ProgramBackend) -> None:
        found = [await backend.store.leave("local", "answers", A, unnamed_seconds=DAY)]
        await backend.let_time_pass(DAY - 60)
        found.append(await backend.store.leave("local", "answers", A, unnamed_seconds=DAY))
        await backend.let_time_pass(61)

        told = await backend.store.leave("local", "answers", A, unnamed_seconds=DAY)

        assert found == [None, None]
        assert told is not None

    async def test_a_version_that_came_and_went_begins_the_day_anew(self, backend: ProgramBackend) -> None:
        await backend.store.leave("local", "answers", A, unnamed_seconds=DAY)
        await backend.let_time_pass(DAY)
        await deploy(backend.store, "a")
        await backend.store.delete("local", "answers")

        assert await backend.store.leave("local", "answers", A, unnamed_seconds=DAY) is None

    async def test_no_version_can_name_files_that_are_being_deleted(self, backend: ProgramBackend) -> None:
        told = await backend.store.leave("local", "answers", A, unnamed_seconds=0)
        assert told is not None

        with pytest.raises(StoreUnavailableError, match="being deleted"):
            await deploy(backend.store, "a")
        await deploy(backend.store, "b")
        await backend.store.forget_left("local", "answers", A, told=told)
        await deploy(backend.store, "a")

        assert (await backend.store.program("local", "answers")).latest_version == 2

    async def test_whoever_was_told_last_says_when_they_are_gone(self, backend: ProgramBackend) -> None:
        first = await backend.store.leave("local", "answers", A, unnamed_seconds=0)
        second = await backend.store.leave("local", "answers", A, unnamed_seconds=DAY)
        assert first is not None
        assert second not in (None, first)

        await backend.store.forget_left("local", "answers", A, told=first)

        with pytest.raises(StoreUnavailableError):
            await deploy(backend.store, "a")

    async def test_a_deletion_whose_worker_died_hinders_nobody_for_long(self, backend: ProgramBackend) -> None:
        await backend.store.leave("local", "answers", A, unnamed_seconds=0)

        await backend.let_time_pass(61)
        await deploy(backend.store, "a")

        assert (await backend.store.program("local", "answers")).latest_version == 1


class Contract(DeletionContract, LimitContract, LeftFilesContract):
    pass


class TestDeletionInMemory(ProgramsInMemory, Contract):
    pass


class TestDeletionOnRedis(ProgramsOnRedis, Contract):
    pass


class TestDeletionOnRedisWithLostReplies(ProgramsOnRedisWithLostReplies, Contract):
    pass


class TestKeysOnRedis(ProgramsOnRedis):
    async def test_a_deleted_program_leaves_nothing_that_stays(self, backend: ProgramBackend, raw_redis: Redis) -> None:
        await deploy(backend.store, "a", "b")
        await retire_and_delete(backend.store, 2)

        await backend.store.delete("local", "answers")

        left = {key: await raw_redis.ttl(key) for key in await raw_redis.keys("*")}
        assert sorted(left) == ["{dspy}:program:local:answers:gone", "{dspy}:program:local:answers:v:2:gone"]
        assert all(0 < seconds <= DAY for seconds in left.values())

    async def test_a_deleted_alias_leaves_nothing_that_stays(self, backend: ProgramBackend, raw_redis: Redis) -> None:
        await deploy(backend.store, "a")
        before = set(await raw_redis.hkeys("{dspy}:program:local:answers"))

        await backend.store.move_alias("local", "answers", "beta", version=1)
        await backend.store.delete_alias("local", "answers", "beta")

        assert set(await raw_redis.hkeys("{dspy}:program:local:answers")) == before
        [note] = await raw_redis.keys("*beta*")
        assert 0 < await raw_redis.ttl(note) <= 60

    async def test_programs_of_before_versions_could_be_deleted_are_read(
        self, backend: ProgramBackend, raw_redis: Redis
    ) -> None:
        await deploy(backend.store, "a", "b", "c")
        await raw_redis.delete("{dspy}:program:local:answers:numbers")
        await raw_redis.hdel("{dspy}:program:local:answers", "made")

        before = await numbers(backend.store)
        await retire_and_delete(backend.store, 3)
        await deploy(backend.store, "d")

        assert before == [3, 2, 1]
        assert await numbers(backend.store) == [4, 2, 1]
