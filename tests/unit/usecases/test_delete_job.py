"""A job leaves with everything that it made, or stays whole."""

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import JobNotFinishedError, JobNotFoundError, JobStateError
from dspy_service.usecases.delete_job import delete_job
from dspy_service.usecases.settle_job import settle_job
from tests.support import working
from tests.support.claims import JOB_ID, new_job
from tests.support.signed import SECRET_KEY


class RetriedMeanwhile(MemoryJobStore):
    """A store in which somebody's retry comes right before the record is deleted."""

    async def delete(self, job_id: str) -> bool:
        raise JobNotFinishedError(job_id, "pending")


class SettledMeanwhile(MemoryJobStore):
    """A store whose job is just being settled by a worker, which writes a file in between."""

    def __init__(self, artifacts: MemoryArtifactStore) -> None:
        super().__init__()
        self._artifacts = artifacts

    async def delete(self, job_id: str) -> bool:
        await self._artifacts.put(f"{job_id}/events.jsonl", b"late")
        return await super().delete(job_id)


class DeletedMeanwhile(MemoryJobStore):
    """A store whose job is deleted right before its worker notes that it is settled."""

    def __init__(self, artifacts: MemoryArtifactStore) -> None:
        super().__init__()
        self._artifacts = artifacts

    async def answers(self, job_id: str) -> tuple[int, list[str]]:
        found = await super().answers(job_id)
        await delete_job(job_id, tenant="local", jobs=self, artifacts=self._artifacts)
        await self._artifacts.put(f"{job_id}/journal/late", b"what a worker writes")
        return found


async def failed(jobs: MemoryJobStore) -> None:
    await jobs.create(new_job())
    await working.fail(jobs, JOB_ID, await working.start(jobs, JOB_ID))


async def test_another_tenants_job_is_unknown() -> None:
    jobs = MemoryJobStore()
    await failed(jobs)

    with pytest.raises(JobNotFoundError):
        await delete_job(JOB_ID, tenant="other", jobs=jobs, artifacts=MemoryArtifactStore())

    assert (await jobs.get(JOB_ID)).job_id == JOB_ID


async def test_a_retry_that_was_faster_is_told() -> None:
    jobs = RetriedMeanwhile()
    await failed(jobs)

    with pytest.raises(JobStateError, match="is pending, so it cannot be deleted; cancel it first"):
        await delete_job(JOB_ID, tenant="local", jobs=jobs, artifacts=MemoryArtifactStore())


async def test_what_is_written_while_it_is_deleted_goes_too() -> None:
    artifacts = MemoryArtifactStore()
    jobs = SettledMeanwhile(artifacts)
    await failed(jobs)

    await delete_job(JOB_ID, tenant="local", jobs=jobs, artifacts=artifacts)

    assert artifacts.files == {}
    with pytest.raises(JobNotFoundError):
        await jobs.get(JOB_ID)


async def test_a_worker_that_settles_it_in_the_meantime_leaves_nothing_behind() -> None:
    artifacts = MemoryArtifactStore()
    jobs = DeletedMeanwhile(artifacts)
    await failed(jobs)

    await settle_job(JOB_ID, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)

    assert artifacts.files == {}
