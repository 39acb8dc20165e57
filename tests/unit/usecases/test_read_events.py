"""Events are found wherever they stand, also while they move."""

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import FileNotStoredError
from dspy_service.domain.job import Job, JobStatus, NewJob, Outcome
from dspy_service.usecases.read_events import read_events
from tests.support.signed import SECRET_KEY
from tests.support.working import archive
from tests.unit.usecases.test_submit import REQUEST


@pytest.fixture
def jobs() -> MemoryJobStore:
    return MemoryJobStore()


@pytest.fixture
def artifacts() -> MemoryArtifactStore:
    return MemoryArtifactStore()


@pytest.fixture
async def ended(jobs: MemoryJobStore) -> Job:
    """A job whose log is still in the store: pending, validating, cancelled."""
    spec = REQUEST.settle(REQUEST.column_mapping, seed=1)  # type: ignore[arg-type]  # nobody reads this one's mapping
    new = NewJob.model_construct(
        job_id="j", tenant="local", spec=spec, dataset_rows=1, dataset_path="d", idempotency_key=None, body_sha256=""
    )
    await jobs.create(new)
    claim = await jobs.claim("j", owner="test", lease_seconds=9, sandbox_level="L1")
    assert claim is not None
    outcome = Outcome(status=JobStatus.CANCELLED, termination_reason="cancelled", message="cancelled")
    return await jobs.finish("j", fence=claim.fence, outcome=outcome)


async def test_a_log_that_moves_between_two_reads_is_found(
    jobs: MemoryJobStore, artifacts: MemoryArtifactStore, ended: Job
) -> None:
    await archive(jobs, artifacts, "j")
    assert not ended.events_archived

    events = await read_events(ended, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY, after=1)

    assert [event.seq for event in events] == [2, 3]


async def test_asking_for_more_than_there_is_reads_nothing_twice(
    jobs: MemoryJobStore, artifacts: MemoryArtifactStore, ended: Job
) -> None:
    assert await read_events(ended, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY, after=3) == []


async def test_an_empty_log_that_was_not_archived_is_empty(
    jobs: MemoryJobStore, artifacts: MemoryArtifactStore, ended: Job
) -> None:
    jobs._records["j"].events = []

    assert await read_events(ended, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY) == []


async def test_an_archive_that_was_removed_is_an_error(
    jobs: MemoryJobStore, artifacts: MemoryArtifactStore, ended: Job
) -> None:
    await archive(jobs, artifacts, "j")
    artifacts.files.clear()

    with pytest.raises(FileNotStoredError):
        await read_events(ended, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)
