"""A version is read once in a while, so that a number which has become another's is noticed."""

import pytest

from dspy_service.adapters.memory import MemoryProgramStore
from dspy_service.domain.serving.errors import ProgramNotFoundError
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from tests.support.conversation_samples import NOW
from tests.support.run_samples import a_new_run
from tests.support.served_programs import a_new_version
from workers.serving.known_versions import KNOWN_SECONDS, MAX_VERSIONS, KnownVersions


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Counting(MemoryProgramStore):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def version(self, tenant: str, name: str, version: int) -> ProgramVersion:
        self.asked += 1
        return await super().version(tenant, name, version)


def a_run(program: str = "qa") -> Run:
    return Run(**dict(a_new_run().model_copy(update={"program": program})), created_at=NOW)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store() -> Counting:
    store = Counting()
    await store.add_version(a_new_version("qa"))
    return store


async def test_a_version_is_read_once_for_many_runs(store: Counting, clock: Clock) -> None:
    known = KnownVersions(store, clock=clock)

    found = [await known.of(a_run()) for _ in range(3)]
    clock.seconds += KNOWN_SECONDS
    await known.of(a_run())

    assert {each.program for each in found} == {"qa"}
    assert store.asked == 2


async def test_a_deleted_version_is_unknown_before_its_number_is_another_ones(store: Counting, clock: Clock) -> None:
    known = KnownVersions(store, clock=clock)
    await known.of(a_run())
    await store.delete("local", "qa")

    clock.seconds += KNOWN_SECONDS

    with pytest.raises(ProgramNotFoundError):
        await known.of(a_run())


async def test_what_was_not_used_for_longest_is_forgotten(store: Counting, clock: Clock) -> None:
    known = KnownVersions(store, clock=clock)
    for number in range(MAX_VERSIONS):
        await store.add_version(a_new_version(f"p{number}"))
        await known.of(a_run(f"p{number}"))
    asked = store.asked

    for program in ("p0", "qa", "p0", "p1"):
        await known.of(a_run(program))

    assert store.asked == asked + 2
