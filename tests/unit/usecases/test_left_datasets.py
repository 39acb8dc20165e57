"""Rows whose submission ended before its job was recorded are found, and go; nobody else's are touched."""

import logging

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.artifact_paths import dataset_path
from dspy_service.usecases.sweep_datasets import LEFT_SECONDS, ORPHAN_SECONDS, find_left_datasets
from tests.support.job_samples import a_new_job
from tests.support.swept import Artifacts, sweep
from tests.support.webhooks import Clock

OWNER = "datasets/owner.txt"
LEFT, NAMED, LATE = (dataset_path("local", letter * 64) for letter in "abc")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(clock: Clock) -> MemoryJobStore:
    return MemoryJobStore(clock)


@pytest.fixture
def artifacts() -> Artifacts:
    return Artifacts()


async def find(jobs: MemoryJobStore, artifacts: MemoryArtifactStore) -> None:
    await find_left_datasets(jobs=jobs, artifacts=artifacts)


async def test_rows_that_no_job_has_ever_named_go_after_a_day(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    for path in (LEFT, NAMED, LATE):
        await artifacts.put(path, b"[]")
    await jobs.create(a_new_job(dataset_path=NAMED))

    await find(jobs, artifacts)
    await jobs.create(a_new_job(dataset_path=LATE))  # it was between its two steps just then
    clock.seconds += LEFT_SECONDS
    await sweep(jobs, artifacts)
    after_a_day = await artifacts.list("datasets")
    clock.seconds += ORPHAN_SECONDS
    await sweep(jobs, artifacts)

    assert after_a_day == [LEFT, NAMED, LATE, OWNER]
    assert await artifacts.list("datasets") == [NAMED, LATE, OWNER]


async def test_looking_again_does_not_put_it_off(jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock) -> None:
    await artifacts.put(LEFT, b"[]")

    await find(jobs, artifacts)
    clock.seconds += LEFT_SECONDS
    await find(jobs, artifacts)
    clock.seconds += ORPHAN_SECONDS
    await sweep(jobs, artifacts)

    assert await artifacts.list("datasets") == [OWNER]


async def test_files_that_no_submission_has_put_there_stay(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    foreign = ["datasets/local/notes.json", f"datasets/{'a' * 64}.json", f"datasets/x/y/{'a' * 64}.json"]
    for path in foreign:
        await artifacts.put(path, b"[]")

    await find(jobs, artifacts)
    clock.seconds += LEFT_SECONDS + ORPHAN_SECONDS
    await sweep(jobs, artifacts)

    assert set(await artifacts.list("datasets")) == {*foreign, OWNER}


async def test_many_rows_are_noted(jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock) -> None:
    paths = [dataset_path("local", f"{number:064x}") for number in range(2_001)]
    for path in paths:
        await artifacts.put(path, b"[]")

    await find(jobs, artifacts)
    clock.seconds += LEFT_SECONDS

    assert await jobs.due_orphans(older_than_seconds=0, limit=3_000) == paths


async def test_another_job_stores_rows_are_left_alone(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await find(MemoryJobStore(), artifacts)
    await artifacts.put(LEFT, b"[]")

    await find(jobs, artifacts)
    clock.seconds += LEFT_SECONDS + ORPHAN_SECONDS
    await sweep(jobs, artifacts)

    assert LEFT in await artifacts.list("datasets")
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        (
            "The files in datasets/ belong to another job store, so those that nobody names stay there. When no other "
            "job store uses them, delete datasets/owner.txt."
        )
    ]


async def test_rows_may_be_taken_over(jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock) -> None:
    await find(MemoryJobStore(), artifacts)
    await artifacts.put(LEFT, b"[]")
    await artifacts.delete(OWNER)

    await find(jobs, artifacts)
    clock.seconds += LEFT_SECONDS + ORPHAN_SECONDS
    await sweep(jobs, artifacts)

    assert await artifacts.list("datasets") == [OWNER]
