"""Rows that no job names any more go; a job that comes at the wrong moment is refused, and none loses its rows."""

import logging

import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.usecases.sweep_datasets import MOST_DATASETS, ORPHAN_SECONDS
from tests.support.job_samples import a_new_job
from tests.support.swept import DAY, ROWS, Artifacts, ended, sweep
from tests.support.webhooks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(clock: Clock) -> MemoryJobStore:
    return MemoryJobStore(clock)


@pytest.fixture
def artifacts() -> Artifacts:
    return Artifacts()


async def test_rows_go_once_no_job_has_named_them_for_an_hour(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    await ended(jobs, artifacts)
    await ended(jobs, artifacts, new=a_new_job(dataset_path="datasets/local/def.json"))
    clock.seconds += 8 * DAY

    await sweep(jobs, artifacts)
    at_once = await artifacts.list("datasets")
    clock.seconds += ORPHAN_SECONDS
    await sweep(jobs, artifacts)

    assert at_once == [ROWS, "datasets/local/def.json"]
    assert await artifacts.list("datasets") == []


async def test_rows_without_a_job_go_also_where_jobs_are_kept(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    job = await ended(jobs, artifacts)
    await jobs.delete(job.job_id)
    clock.seconds += ORPHAN_SECONDS

    await sweep(jobs, artifacts, days=0)

    assert await artifacts.list("datasets") == []


async def test_rows_go_although_a_job_cannot_be_deleted(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    stuck = await ended(jobs, artifacts, new=a_new_job(dataset_path="datasets/local/def.json"))
    await jobs.delete((await ended(jobs, artifacts)).job_id)
    clock.seconds += 8 * DAY
    artifacts.refused = stuck.job_id

    with pytest.raises(StoreUnavailableError):
        await sweep(jobs, artifacts)

    assert await artifacts.list("datasets") == ["datasets/local/def.json"]


async def test_rows_go_in_bounded_steps_too(artifacts: Artifacts) -> None:
    class Endless(MemoryJobStore):
        taken = 0

        async def due_orphans(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:  # noqa: ARG002  # always more
            self.taken += 1
            return [f"datasets/local/{self.taken}.json"]

    jobs = Endless()

    await sweep(jobs, artifacts)

    assert jobs.taken == MOST_DATASETS


async def test_rows_that_a_job_names_stay(jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock) -> None:
    old, _young = await ended(jobs, artifacts), await ended(jobs, artifacts)
    await jobs.delete(old.job_id)
    clock.seconds += DAY

    await sweep(jobs, artifacts, days=0)

    assert await artifacts.list("datasets") == [ROWS]


async def test_no_job_may_name_rows_that_are_just_being_deleted(artifacts: Artifacts, clock: Clock) -> None:
    jobs = MemoryJobStore(clock)
    refused: list[Exception] = []

    class Watched(Artifacts):
        async def delete(self, path: str) -> None:
            if path == ROWS:
                with pytest.raises(StoreUnavailableError) as caught:
                    await jobs.create(a_new_job(dataset_path=ROWS))
                refused.append(caught.value)
            await super().delete(path)

    watched = Watched()
    job = await ended(jobs, watched)
    await jobs.delete(job.job_id)
    clock.seconds += ORPHAN_SECONDS

    await sweep(jobs, watched)

    assert len(refused) == 1
    assert await watched.list("datasets") == []


async def test_rows_that_cannot_be_deleted_are_tried_again_and_keep_no_others(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    await jobs.delete((await ended(jobs, artifacts)).job_id)
    clock.seconds += 1
    other = "datasets/local/def.json"
    await jobs.delete((await ended(jobs, artifacts, new=a_new_job(dataset_path=other))).job_id)
    clock.seconds += ORPHAN_SECONDS
    artifacts.refused = ROWS

    with pytest.raises(StoreUnavailableError):
        await sweep(jobs, artifacts)
    await sweep(jobs, artifacts)
    first = await artifacts.list("datasets")
    artifacts.refused = None
    clock.seconds += ORPHAN_SECONDS
    await sweep(jobs, artifacts)

    assert first == [ROWS]
    assert await artifacts.list("datasets") == []


async def test_rows_that_could_not_be_deleted_are_named_for_the_operator(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    job = await ended(jobs, artifacts)
    await jobs.delete(job.job_id)
    clock.seconds += ORPHAN_SECONDS
    artifacts.refused = ROWS

    with pytest.raises(StoreUnavailableError):
        await sweep(jobs, artifacts)

    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        f"No job names {ROWS} any more, but it cannot be deleted yet; that is tried again in an hour."
    ]


async def test_a_crash_while_rows_are_deleted_costs_nothing(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    await jobs.delete((await ended(jobs, artifacts)).job_id)
    clock.seconds += ORPHAN_SECONDS
    await jobs.due_orphans(older_than_seconds=ORPHAN_SECONDS)  # by a worker that then dies

    await sweep(jobs, artifacts)
    at_once = await artifacts.list("datasets")
    clock.seconds += ORPHAN_SECONDS
    await sweep(jobs, artifacts)

    assert at_once == [ROWS]
    assert await artifacts.list("datasets") == []


async def test_rows_that_were_deleted_are_not_looked_for_again(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    await jobs.delete((await ended(jobs, artifacts)).job_id)
    clock.seconds += ORPHAN_SECONDS
    await sweep(jobs, artifacts)
    clock.seconds += DAY

    assert await jobs.due_orphans(older_than_seconds=0) == []
