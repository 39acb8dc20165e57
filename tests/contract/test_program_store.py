"""Programs have immutable versions, and aliases that move only from where the mover saw them."""

import pytest

from dspy_service.domain.errors import IdempotencyKeyReusedError
from dspy_service.domain.serving.errors import (
    AliasMovedError,
    NothingToRollBackError,
    ProgramNotFoundError,
    ProgramVersionInUseError,
    ProgramVersionRetiredError,
)
from dspy_service.domain.serving.program import NewVersion
from dspy_service.ports.serving.programs import ProgramStore
from tests.contract.program_backends import (
    ProgramBackend,
    ProgramsInMemory,
    ProgramsOnRedis,
    ProgramsOnRedisWithLostReplies,
    deploy,
)
from tests.support.served_programs import a_new_version


class ProgramStoreContract:
    @pytest.fixture
    def store(self, backend: ProgramBackend) -> ProgramStore:
        return backend.store

    async def test_a_version_is_found_as_it_was_added(self, store: ProgramStore) -> None:
        new = a_new_version(metadata={"team": "ключ"}, job_id="j1", baseline_score=0.25, optimized_score=0.5)

        added, is_new = await store.add_version(new)

        assert is_new
        assert added == await store.version("local", "answers", 1)
        assert NewVersion.model_validate({name: getattr(added, name) for name in NewVersion.model_fields}) == new
        assert (added.version, added.status) == (1, "active")

    async def test_the_first_version_becomes_production_and_later_ones_do_not(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b")

        program = await store.program("local", "answers")

        assert program.latest_version == 2
        assert [(alias.name, alias.version, alias.previous_version) for alias in program.aliases] == [
            ("production", 1, None)
        ]

    async def test_what_the_newest_version_is_already_adds_nothing(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b")

        again, is_new = await store.add_version(a_new_version(digest="b"))
        older, older_is_new = await store.add_version(a_new_version(digest="a"))

        assert (again.version, is_new) == (2, False)
        assert (older.version, older_is_new) == (3, True)

    async def test_what_was_retired_can_be_deployed_again(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b")
        await store.retire("local", "answers", 2)

        again, is_new = await store.add_version(a_new_version(digest="b"))

        assert (again.version, again.status, is_new) == (3, "active", True)

    async def test_an_idempotency_key_answers_with_the_version_that_it_made(self, store: ProgramStore) -> None:
        first, _ = await store.add_version(a_new_version(digest="a"), idempotency_key="k")
        await deploy(store, "b")

        again, is_new = await store.add_version(a_new_version(digest="a"), idempotency_key="k")

        assert (again, is_new) == (first, False)
        with pytest.raises(IdempotencyKeyReusedError):
            await store.add_version(a_new_version(digest="c"), idempotency_key="k")

    async def test_an_idempotency_key_belongs_to_one_program_of_one_tenant(self, store: ProgramStore) -> None:
        await store.add_version(a_new_version(digest="a"), idempotency_key="k")

        _, other_program = await store.add_version(a_new_version("other", digest="b"), idempotency_key="k")
        _, other_tenant = await store.add_version(a_new_version(tenant="acme", digest="b"), idempotency_key="k")

        assert (other_program, other_tenant) == (True, True)

    async def test_programs_are_paged_by_name(self, store: ProgramStore) -> None:
        for name in ("b", "a-1", "c", "a"):
            await deploy(store, "a", program=name)
        await deploy(store, "a", program="foreign", tenant="acme")

        first, has_more = await store.programs("local", limit=3)
        rest, has_still_more = await store.programs("local", after="b", limit=3)

        assert ([program.name for program in first], has_more) == (["a", "a-1", "b"], True)
        assert ([program.name for program in rest], has_still_more) == (["c"], False)

    async def test_versions_are_paged_newest_first(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b", "c")

        first, has_more = await store.versions("local", "answers", limit=2)
        rest, has_still_more = await store.versions("local", "answers", before=2, limit=2)
        beyond, _ = await store.versions("local", "answers", before=99)

        assert ([version.version for version in first], has_more) == ([3, 2], True)
        assert ([version.version for version in rest], has_still_more) == ([1], False)
        assert len(beyond) == 3

    async def test_nothing_of_another_tenant_is_found(self, store: ProgramStore) -> None:
        await deploy(store, "a")

        assert await store.programs("acme") == ([], False)
        for asked in (
            store.program("acme", "answers"),
            store.version("acme", "answers", 1),
            store.versions("acme", "answers"),
            store.move_alias("acme", "answers", "production", version=1),
            store.roll_back("acme", "answers", "production", if_revision=1),
            store.delete_alias("acme", "answers", "production", if_revision=1),
            store.retire("acme", "answers", 1),
            store.version("local", "answers", 2),
            store.move_alias("local", "answers", "beta", version=2),
            store.roll_back("local", "answers", "beta"),
            store.delete_alias("local", "answers", "beta"),
            store.retire("local", "answers", 2),
        ):
            with pytest.raises(ProgramNotFoundError):
                await asked

    async def test_an_alias_moves_and_rolls_back_and_forth(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b")

        moved = await store.move_alias("local", "answers", "production", version=2)
        back = await store.roll_back("local", "answers", "production")
        forth = await store.roll_back("local", "answers", "production", if_revision=back.revision)

        places = [(alias.version, alias.previous_version) for alias in (moved, back, forth)]
        assert places == [(2, 1), (1, 2), (2, 1)]
        assert moved.revision < back.revision < forth.revision
        assert (await store.program("local", "answers")).aliases == [forth]

    async def test_a_move_to_where_it_stands_changes_nothing(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b")
        moved = await store.move_alias("local", "answers", "production", version=2)

        again = await store.move_alias("local", "answers", "production", version=2)

        assert again == moved

    async def test_who_did_not_see_the_last_move_changes_nothing(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b", "c")
        seen = (await store.program("local", "answers")).aliases[0]
        moved = await store.move_alias("local", "answers", "production", version=2, if_revision=seen.revision)

        for stale in (
            store.move_alias("local", "answers", "production", version=3, if_revision=seen.revision),
            store.move_alias("local", "answers", "production", version=3, if_revision=0),
            store.move_alias("local", "answers", "production", version=3, if_revision=-1),
            store.roll_back("local", "answers", "production", if_revision=seen.revision),
            store.delete_alias("local", "answers", "production", if_revision=seen.revision),
            store.move_alias("local", "answers", "beta", version=3, if_revision=1),
        ):
            with pytest.raises(AliasMovedError):
                await stale

        assert (await store.program("local", "answers")).aliases == [moved]

    async def test_a_new_alias_can_be_made_only_if_it_is_new(self, store: ProgramStore) -> None:
        await deploy(store, "a")

        made = await store.move_alias("local", "answers", "beta", version=1, if_revision=0)

        assert (made.version, made.previous_version) == (1, None)
        assert [alias.name for alias in (await store.program("local", "answers")).aliases] == ["beta", "production"]

    async def test_an_alias_that_is_made_again_has_no_old_revision(self, store: ProgramStore) -> None:
        await deploy(store, "a")
        first = await store.move_alias("local", "answers", "beta", version=1)
        await store.delete_alias("local", "answers", "beta", if_revision=first.revision)

        second = await store.move_alias("local", "answers", "beta", version=1, if_revision=0)

        assert second.revision > first.revision
        assert second.previous_version is None

    async def test_an_alias_that_never_moved_has_no_way_back(self, store: ProgramStore) -> None:
        await deploy(store, "a")

        with pytest.raises(NothingToRollBackError):
            await store.roll_back("local", "answers", "production")

    async def test_a_retired_version_stays_readable_and_takes_no_alias(self, store: ProgramStore) -> None:
        await deploy(store, "a", "b")
        await store.move_alias("local", "answers", "production", version=2)

        retired = await store.retire("local", "answers", 1)
        again = await store.retire("local", "answers", 1)

        assert retired == again == await store.version("local", "answers", 1)
        assert retired.status == "retired"
        with pytest.raises(ProgramVersionRetiredError):
            await store.move_alias("local", "answers", "beta", version=1)
        with pytest.raises(ProgramVersionRetiredError):
            await store.roll_back("local", "answers", "production")

    async def test_a_version_that_an_alias_names_is_not_retired(self, store: ProgramStore) -> None:
        await deploy(store, "a")
        await store.move_alias("local", "answers", "beta", version=1)

        with pytest.raises(ProgramVersionInUseError) as caught:
            await store.retire("local", "answers", 1)

        assert caught.value.alias == "beta"
        assert (await store.version("local", "answers", 1)).status == "active"


class TestProgramsInMemory(ProgramsInMemory, ProgramStoreContract):
    pass


class TestProgramsOnRedis(ProgramsOnRedis, ProgramStoreContract):
    pass


class TestProgramsOnRedisWithLostReplies(ProgramsOnRedisWithLostReplies, ProgramStoreContract):
    pass
