"""A user may cancel, pause, resume and retry jobs of the own tenant."""

from collections.abc import Awaitable, Callable

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import JobNotFoundError, JobStateError
from dspy_service.domain.job import Job, JobStatus, Wish
from dspy_service.domain.supervision import Reins, RunReport
from dspy_service.usecases.control_job import cancel, pause, resume, retry
from dspy_service.usecases.settle_job import stored_spec
from tests.support.claims import JOB_ID, new_job
from tests.support.executed import ScriptedSupervisor, execute_job
from tests.support.lm_calls import spec
from tests.support.signed import SECRET_KEY
from tests.support.working import fail, start

FAILED = RunReport.failed("metric_error", "wrong")


@pytest.fixture
async def jobs() -> MemoryJobStore:
    """A store with one job that waits."""
    store = MemoryJobStore()
    await store.create(new_job())
    return store


async def retried(jobs: MemoryJobStore, artifacts: MemoryArtifactStore, *, tenant: str = "local") -> Job:
    return await retry(JOB_ID, tenant=tenant, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)


@pytest.mark.parametrize("verb", [cancel, pause, resume])
async def test_another_tenants_job_is_unknown(jobs: MemoryJobStore, verb: Callable[..., Awaitable[Job]]) -> None:
    with pytest.raises(JobNotFoundError):
        await verb(JOB_ID, tenant="other", jobs=jobs)
    with pytest.raises(JobNotFoundError):
        await retried(jobs, MemoryArtifactStore(), tenant="other")

    assert (await jobs.get(JOB_ID)).status is JobStatus.PENDING


async def test_a_waiting_job_obeys_at_once(jobs: MemoryJobStore) -> None:
    verbs = (pause, resume, cancel)

    statuses = [(await verb(JOB_ID, tenant="local", jobs=jobs)).status for verb in verbs]

    assert statuses == [JobStatus.PAUSED, JobStatus.PENDING, JobStatus.CANCELLED]


async def test_a_held_job_shows_the_wish(jobs: MemoryJobStore) -> None:
    await start(jobs, JOB_ID)
    verbs = (pause, resume, cancel)

    wishes = [(await verb(JOB_ID, tenant="local", jobs=jobs)).wish for verb in verbs]

    assert wishes == [Wish.PAUSE, Wish.GO_ON, Wish.CANCEL]


async def test_a_failed_job_begins_anew_with_what_was_asked_for() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(FAILED))

    job = await retried(jobs, artifacts)

    assert (job.status, job.losses, job.result_path) == (JobStatus.PENDING, 0, None)
    assert await jobs.spec(JOB_ID) == spec()


async def test_an_end_that_was_not_settled_is_settled_before_a_retry(jobs: MemoryJobStore) -> None:
    artifacts = MemoryArtifactStore()
    await fail(jobs, JOB_ID, await start(jobs, JOB_ID))

    job = await retried(jobs, artifacts)

    assert job.status is JobStatus.PENDING
    assert job.archived_seq == job.last_seq - 1


async def test_asking_twice_changes_nothing() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(FAILED))
    first = await retried(jobs, artifacts)

    second = await retried(jobs, artifacts)

    assert second == first


async def test_a_job_that_succeeded_is_not_opened_again() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())

    with pytest.raises(JobStateError):
        await retried(jobs, artifacts)

    assert (await jobs.get(JOB_ID)).status is JobStatus.SUCCESS


async def test_the_spec_of_a_job_that_is_settled_meanwhile_is_found() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(FAILED))
    settled = await jobs.get(JOB_ID)
    seen_before = settled.model_copy(update={"archived_seq": 0, "archive_fence": 0})

    found = await stored_spec(seen_before, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)

    assert found == spec()


async def test_a_cancel_that_comes_while_a_job_fails_leaves_it_failed() -> None:
    async def cancelled_meanwhile(_claim: object, store: MemoryJobStore, _reins: Reins) -> None:
        await cancel(JOB_ID, tenant="local", jobs=store)

    jobs, _ = await execute_job(ScriptedSupervisor(FAILED, during=cancelled_meanwhile), heartbeat_seconds=10.0)

    job = await jobs.get(JOB_ID)
    assert (job.status, job.wish) == (JobStatus.FAILED, Wish.GO_ON)
