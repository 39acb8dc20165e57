"""Rows that no job names any more go; a job that comes at the wrong moment is refused, and none loses its rows."""

import logging

import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.usecases.sweep_retention import MOST_DATASETS, ORPHAN_SECONDS
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

        async def take_orphans(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:  # noqa: ARG002  # always more
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


async def test_no_rows_are_given_up_while_the_artifact_store_deletes_nothing(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    job = await ended(jobs, artifacts)
    await jobs.delete(job.job_id)
    clock.seconds += ORPHAN_SECONDS
    artifacts.refused = ""

    with pytest.raises(StoreUnavailableError):
        await sweep(jobs, artifacts)
    artifacts.refused = None
    await sweep(jobs, artifacts)

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
        f"No job names {ROWS} any more, but it could not be deleted; delete it by hand."
    ]
