"""An attempt that is halted gives its job back, and another one goes on."""

import asyncio

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.job import Claim, JobStatus, Wish
from dspy_service.domain.supervision import Halt, Interrupted, Reins
from dspy_service.usecases.control_job import resume
from dspy_service.usecases.patience import Patience
from tests.support.claims import DATASET, JOB_ID, new_job
from tests.support.executed import NoArtifacts, ScriptedSupervisor, execute_job

ENDLESS = Patience(files_seconds=60, retry_seconds=0.001)


async def test_a_worker_that_goes_away_hands_its_job_back_without_a_loss() -> None:
    leaving = asyncio.Event()

    async def told_to_leave(_claim: Claim, _jobs: MemoryJobStore, reins: Reins) -> None:
        leaving.set()
        async with asyncio.timeout(5):
            assert await reins.halted() is Halt.HAND_BACK

    supervisor = ScriptedSupervisor(Interrupted(Halt.HAND_BACK), during=told_to_leave)

    jobs, artifacts = await execute_job(supervisor, leaving=leaving)

    job = await jobs.get(JOB_ID)
    assert (job.status, job.attempt, job.losses) == (JobStatus.PENDING, 1, 0)
    assert await artifacts.list(JOB_ID) == []


async def test_a_worker_that_goes_away_takes_no_job() -> None:
    leaving = asyncio.Event()
    leaving.set()
    supervisor = ScriptedSupervisor()

    jobs, _ = await execute_job(supervisor, leaving=leaving)

    assert supervisor.claims == []
    assert (await jobs.get(JOB_ID)).attempt == 0


async def test_a_paused_job_goes_on_elsewhere_after_its_resume() -> None:
    async def pause(_claim: Claim, store: MemoryJobStore, reins: Reins) -> None:
        await store.wish(JOB_ID, Wish.PAUSE)
        async with asyncio.timeout(5):
            assert await reins.halted() is Halt.PAUSE

    jobs, artifacts = await execute_job(ScriptedSupervisor(Interrupted(Halt.PAUSE), during=pause))
    paused = await jobs.get(JOB_ID)
    await resume(JOB_ID, tenant="local", jobs=jobs)

    await execute_job(ScriptedSupervisor(), jobs=jobs, artifacts=artifacts, create=False)

    job = await jobs.get(JOB_ID)
    assert (paused.status, paused.wish) == (JobStatus.PAUSED, Wish.GO_ON)
    assert (job.status, job.attempt, job.losses) == (JobStatus.SUCCESS, 2, 0)


async def test_a_wish_that_comes_while_a_job_is_handed_back_is_obeyed_and_the_job_settled() -> None:
    async def cancelled_too(_claim: Claim, store: MemoryJobStore, _reins: Reins) -> None:
        await store.wish(JOB_ID, Wish.CANCEL)

    supervisor = ScriptedSupervisor(Interrupted(Halt.HAND_BACK), during=cancelled_too)

    jobs, artifacts = await execute_job(supervisor, heartbeat_seconds=10.0)

    job = await jobs.get(JOB_ID)
    assert job.status is JobStatus.CANCELLED
    assert job.archived_seq == job.last_seq
    assert await artifacts.get(f"{JOB_ID}/events.jsonl")


class Away(MemoryArtifactStore):
    """Does not answer, and says when it was asked."""

    def __init__(self, *, only_writes: bool) -> None:
        super().__init__()
        self.only_writes = only_writes
        self.asked = asyncio.Event()

    async def get(self, path: str) -> bytes:
        if not self.only_writes:
            self.asked.set()
            raise StoreUnavailableError("artifact store")
        return await super().get(path)

    async def put(self, path: str, data: bytes) -> None:
        if path != DATASET:
            self.asked.set()
            raise StoreUnavailableError("artifact store")
        await super().put(path, data)


@pytest.mark.parametrize("only_writes", [True, False])
async def test_a_worker_that_goes_away_does_not_wait_for_the_artifact_store(*, only_writes: bool) -> None:
    leaving, artifacts = asyncio.Event(), Away(only_writes=only_writes)
    jobs = MemoryJobStore()
    working = asyncio.create_task(
        execute_job(ScriptedSupervisor(), jobs=jobs, artifacts=artifacts, leaving=leaving, patience=ENDLESS)
    )
    await artifacts.asked.wait()

    leaving.set()
    async with asyncio.timeout(5):
        await working

    assert (await jobs.get(JOB_ID)).status is JobStatus.PENDING


@pytest.mark.parametrize("is_leaving", [True, False])
async def test_a_job_that_a_store_refuses_lets_others_go_first_unless_its_worker_leaves(*, is_leaving: bool) -> None:
    jobs, leaving = MemoryJobStore(), asyncio.Event()

    async def queue_another(_claim: Claim, store: MemoryJobStore, reins: Reins) -> None:
        await store.create(new_job().model_copy(update={"job_id": "another"}))
        if is_leaving:
            leaving.set()
            await reins.halted()

    await execute_job(ScriptedSupervisor(during=queue_another), jobs=jobs, artifacts=NoArtifacts(), leaving=leaving)

    assert (await jobs.get(JOB_ID)).status is JobStatus.PENDING
    assert await jobs.next_job() == (JOB_ID if is_leaving else "another")
