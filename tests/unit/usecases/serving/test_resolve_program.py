"""A caller names a program, one of its aliases, or one of its versions."""

import pytest

from dspy_service.adapters.memory import MemoryProgramStore
from dspy_service.domain.serving.errors import ProgramNotFoundError, ProgramVersionRetiredError
from dspy_service.usecases.serving.resolve_program import resolve_program
from tests.support.served_programs import a_new_version


@pytest.fixture
async def programs() -> MemoryProgramStore:
    store = MemoryProgramStore()
    for digest in "abc":
        await store.add_version(a_new_version("answers", digest=digest))
    await store.move_alias("local", "answers", "production", version=2)
    await store.move_alias("local", "answers", "beta.v3", version=3)
    await store.retire("local", "answers", 1)
    return store


@pytest.mark.parametrize(
    ("reference", "number"),
    [
        ("answers", 2),
        ("answers@production", 2),
        ("answers@beta.v3", 3),
        ("answers@v3", 3),
        ("answers@3", 3),
    ],
)
async def test_a_reference_is_a_version(reference: str, number: int, programs: MemoryProgramStore) -> None:
    found = await resolve_program(reference, tenant="local", programs=programs)

    assert found.version == number


@pytest.mark.parametrize(
    "reference",
    [
        "other",
        "answers@gamma",
        "answers@v4",
        "answers@v0",
        "answers@",
        "@production",
        "answers@v3@v3",
        "Answers",
        "answers ",
        "answers\n",
        "a/b",
        "a:b",
        "",
        "a" * 64,
        "answers@v" + "9" * 30,
    ],
)
async def test_anything_else_is_not_found(reference: str, programs: MemoryProgramStore) -> None:
    with pytest.raises(ProgramNotFoundError):
        await resolve_program(reference, tenant="local", programs=programs)


async def test_a_program_of_another_tenant_is_not_found(programs: MemoryProgramStore) -> None:
    with pytest.raises(ProgramNotFoundError):
        await resolve_program("answers", tenant="acme", programs=programs)


async def test_a_retired_version_takes_no_new_runs(programs: MemoryProgramStore) -> None:
    with pytest.raises(ProgramVersionRetiredError):
        await resolve_program("answers@v1", tenant="local", programs=programs)
