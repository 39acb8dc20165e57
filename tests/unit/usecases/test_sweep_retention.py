"""What is past its time goes, what is not stays, and a crash in between leaves nothing that the next sweep misses."""

import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.errors import JobNotFoundError, StoreUnavailableError
from dspy_service.domain.job import Job
from dspy_service.usecases.control_job import cancel
from dspy_service.usecases.sweep_retention import MOST_BATCHES
from tests.support.job_samples import a_new_job
from tests.support.swept import DAY, ROWS, Artifacts, ended, sweep
from tests.support.webhooks import Clock


class InPairs(MemoryJobStore):
    """Two jobs are a whole batch."""

    async def ended_before(self, *, seconds_ago: float, limit: int = 100) -> list[Job]:
        return await super().ended_before(seconds_ago=seconds_ago, limit=min(limit, 2))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(clock: Clock) -> MemoryJobStore:
    return MemoryJobStore(clock)


@pytest.fixture
def artifacts() -> Artifacts:
    return Artifacts()


async def is_known(jobs: MemoryJobStore, job: Job) -> bool:
    try:
        await jobs.get(job.job_id)
    except JobNotFoundError:
        return False
    return True


async def test_a_job_goes_with_its_files_when_its_time_has_come(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    old = await ended(jobs, artifacts)
    clock.seconds += DAY
    young = await ended(jobs, artifacts)
    clock.seconds += 6.5 * DAY

    await sweep(jobs, artifacts)

    assert (await is_known(jobs, old), await is_known(jobs, young)) == (False, True)
    assert await artifacts.list(old.job_id) == []
    assert len(await artifacts.list(young.job_id)) == 4
    assert await artifacts.get(ROWS) == b"[]"


async def test_without_a_limit_jobs_are_kept(jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock) -> None:
    job = await ended(jobs, artifacts)
    clock.seconds += 10_000 * DAY

    await sweep(jobs, artifacts, days=0)

    assert await is_known(jobs, job)
    assert len(await artifacts.list(job.job_id)) == 4


async def test_jobs_that_have_not_ended_stay_however_old(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    waiting, _ = await jobs.create(a_new_job(dataset_path=ROWS))
    unsettled, _ = await jobs.create(a_new_job(dataset_path=ROWS))
    await cancel(unsettled.job_id, tenant="local", jobs=jobs)
    clock.seconds += 10_000 * DAY

    await sweep(jobs, artifacts)

    assert await is_known(jobs, waiting)
    assert await is_known(jobs, unsettled)


async def test_a_large_backlog_goes_in_bounded_steps(artifacts: Artifacts, clock: Clock) -> None:
    jobs = InPairs(clock)
    for _ in range(2 * MOST_BATCHES + 1):
        last = await ended(jobs, artifacts)
    clock.seconds += 8 * DAY

    await sweep(jobs, artifacts)
    left = await jobs.ended_before(seconds_ago=0)
    await sweep(jobs, artifacts)

    assert len(left) == 1
    assert not await is_known(jobs, last)


async def test_the_record_stays_while_its_files_cannot_be_removed(
    jobs: MemoryJobStore, artifacts: Artifacts, clock: Clock
) -> None:
    job = await ended(jobs, artifacts)
    clock.seconds += 8 * DAY
    artifacts.refused = job.job_id

    with pytest.raises(StoreUnavailableError):
        await sweep(jobs, artifacts)
    known = await is_known(jobs, job)
    artifacts.refused = None
    await sweep(jobs, artifacts)

    assert known
    assert not await is_known(jobs, job)
    assert await artifacts.list(job.job_id) == []


async def test_a_crash_after_the_files_is_made_good_by_the_next_sweep(artifacts: Artifacts, clock: Clock) -> None:
    class Crashing(MemoryJobStore):
        crashes = True

        async def delete(self, job_id: str) -> bool:
            if self.crashes:
                raise StoreUnavailableError("job store")
            return await super().delete(job_id)

    jobs = Crashing(clock)
    job = await ended(jobs, artifacts)
    clock.seconds += 8 * DAY

    with pytest.raises(StoreUnavailableError):
        await sweep(jobs, artifacts)
    files, known = await artifacts.list(job.job_id), await is_known(jobs, job)
    jobs.crashes = False
    await sweep(jobs, artifacts)

    assert (files, known) == ([], True)
    assert not await is_known(jobs, job)


async def test_one_job_that_cannot_be_deleted_does_not_keep_the_others(
    artifacts: Artifacts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = InPairs(clock)
    stuck = await ended(jobs, artifacts)
    others = [await ended(jobs, artifacts) for _ in range(3)]
    clock.seconds += 8 * DAY
    artifacts.refused = stuck.job_id

    with pytest.raises(StoreUnavailableError):  # it alone is left in the last step
        await sweep(jobs, artifacts)

    assert await is_known(jobs, stuck)
    assert not any([await is_known(jobs, job) for job in others])
    assert f"Job {stuck.job_id} is past its time" in caplog.text


async def test_a_job_that_another_worker_deletes_too_is_no_trouble(artifacts: Artifacts, clock: Clock) -> None:
    class Racing(MemoryJobStore):
        async def ended_before(self, *, seconds_ago: float, limit: int = 100) -> list[Job]:
            found = await super().ended_before(seconds_ago=seconds_ago, limit=limit)
            for job in found[:1]:
                await self.delete(job.job_id)
            return found

    jobs = Racing(clock)
    both = [await ended(jobs, artifacts) for _ in range(2)]
    clock.seconds += 8 * DAY

    await sweep(jobs, artifacts)

    assert not any([await is_known(jobs, job) for job in both])
