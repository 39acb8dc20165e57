"""Events are found wherever they stand, also while they move."""

from typing import Any

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import FileNotStoredError
from dspy_service.domain.events import Event
from dspy_service.domain.job import Job, Wish
from dspy_service.domain.supervision import RunReport
from dspy_service.usecases.control_job import retry
from dspy_service.usecases.read_events import read_event_page, read_events
from tests.support.claims import JOB_ID, new_job
from tests.support.executed import ScriptedSupervisor, execute_job
from tests.support.signed import SECRET_KEY
from tests.support.working import archive, start

FAILED = RunReport.failed("metric_error", "wrong")


@pytest.fixture
def jobs() -> MemoryJobStore:
    return MemoryJobStore()


@pytest.fixture
def artifacts() -> MemoryArtifactStore:
    return MemoryArtifactStore()


@pytest.fixture
async def ended(jobs: MemoryJobStore) -> Job:
    """A job whose log is still in the store: pending, paused, cancelled."""
    await jobs.create(new_job())
    await jobs.wish(JOB_ID, Wish.PAUSE)
    return await jobs.wish(JOB_ID, Wish.CANCEL)


async def read(jobs: MemoryJobStore, artifacts: MemoryArtifactStore, job: Job, **page: int) -> list[int]:
    """Return the numbers of the events that are found."""
    events = await read_events(job, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY, **page)
    return [event.seq for event in events]


async def test_a_log_that_moves_between_two_reads_is_found(
    jobs: MemoryJobStore, artifacts: MemoryArtifactStore, ended: Job
) -> None:
    await archive(jobs, artifacts, JOB_ID)
    assert not ended.archived_seq

    assert await read(jobs, artifacts, ended, after=1) == [2, 3]


async def test_asking_for_more_than_there_is_reads_nothing_twice(
    jobs: MemoryJobStore, artifacts: MemoryArtifactStore, ended: Job
) -> None:
    assert await read(jobs, artifacts, ended, after=3) == []
    await archive(jobs, artifacts, JOB_ID)

    assert await read(jobs, artifacts, await jobs.get(JOB_ID), after=3) == []


async def test_events_that_are_gone_from_the_store_are_left_out(
    jobs: MemoryJobStore, artifacts: MemoryArtifactStore, ended: Job
) -> None:
    jobs._records[JOB_ID].events = []

    assert await read(jobs, artifacts, ended) == []


async def test_an_archive_that_moves_after_a_retry_is_found_in_its_new_place(artifacts: MemoryArtifactStore) -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(FAILED), artifacts=artifacts)
    first = await jobs.get(JOB_ID)
    await retry(JOB_ID, tenant="local", jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)
    await execute_job(ScriptedSupervisor(), jobs=jobs, artifacts=artifacts, create=False)
    last = await jobs.get(JOB_ID)
    assert last.archive_fence > first.archive_fence

    assert await read(jobs, artifacts, first) == list(range(1, last.last_seq + 1))


async def test_an_archive_that_was_removed_is_an_error(artifacts: MemoryArtifactStore) -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(), artifacts=artifacts)
    artifacts.files.clear()

    with pytest.raises(FileNotStoredError):
        await read(jobs, artifacts, await jobs.get(JOB_ID))


async def test_what_is_written_while_a_log_is_read_comes_with_the_next_page(artifacts: MemoryArtifactStore) -> None:
    class Busy(MemoryJobStore):
        """Another event is written before each read."""

        async def events(self, job_id: str, **page: Any) -> list[Event]:  # noqa: ANN401  # handed on
            found = await super().events(job_id, **page)
            await self.advance(job_id, fence=1)
            return found

    jobs = Busy()
    await jobs.create(new_job())
    claim = await jobs.claim(JOB_ID, owner="w1", lease_seconds=60, sandbox_level="L1")
    assert claim is not None

    assert await read(jobs, artifacts, claim.job) == [1, 2]
    assert await read(jobs, artifacts, await jobs.get(JOB_ID), after=2) == [3]


async def test_pages_lead_through_the_whole_log(jobs: MemoryJobStore, artifacts: MemoryArtifactStore) -> None:
    await jobs.create(new_job())
    await start(jobs, JOB_ID)
    numbers: list[int] = []
    more = True

    while more:
        page = await read_event_page(
            JOB_ID,
            tenant="local",
            jobs=jobs,
            artifacts=artifacts,
            secret_key=SECRET_KEY,
            after=numbers[-1] if numbers else 0,
            limit=2,
        )
        numbers += [event.seq for event in page.data]
        more = page.has_more

    assert numbers == list(range(1, (await jobs.get(JOB_ID)).last_seq + 1))
