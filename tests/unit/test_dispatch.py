"""A dispatcher rings for what waits and says that its worker lives, whatever the store does meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from dspy_service.adapters.memory import MemoryDoorbell, MemoryJobStore
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.workers import WorkerInfo
from tests.support.job_samples import a_new_job
from workers.chores import Chore
from workers.dispatch import Dispatcher, Door, dispatch

WORKER = WorkerInfo(
    worker_id="here:1:0",
    queues=("jobs",),
    concurrency=2,
    sandbox_level="L1",
    started_at=datetime(2026, 1, 2, tzinfo=UTC),
)


class BrokenDoorbell(MemoryDoorbell):
    """Fails its first rings, as a broker does that restarts."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self._failures = failures

    async def ring(self, job_id: str) -> None:
        self._failures -= 1
        if self._failures >= 0:
            raise StoreUnavailableError("message broker")
        await super().ring(job_id)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the fakes have no event to wait for
            await asyncio.sleep(0.001)


@asynccontextmanager
async def dispatching(
    jobs: MemoryJobStore, doorbell: MemoryDoorbell, *chores: Chore, worker: WorkerInfo = WORKER
) -> AsyncIterator[None]:
    task = asyncio.create_task(dispatch(Door(jobs, doorbell, chores), worker))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_job_that_was_submitted_before_the_worker_came_is_rung_for() -> None:
    jobs, doorbell = MemoryJobStore(), MemoryDoorbell()
    job, _ = await jobs.create(a_new_job())

    async with dispatching(jobs, doorbell):
        await eventually(lambda: doorbell.rung == [job.job_id])


async def test_a_worker_that_only_serves_rings_for_nobody_and_does_its_chores() -> None:
    jobs, doorbell, done = MemoryJobStore(), MemoryDoorbell(), asyncio.Event()
    await jobs.create(a_new_job())

    async def step() -> None:
        done.set()

    chore = Chore("note that it was here", step, period_seconds=1.0)
    async with dispatching(jobs, doorbell, chore, worker=WORKER.model_copy(update={"queues": ("serving",)})):
        await asyncio.wait_for(done.wait(), 10)
        await eventually(lambda: bool(jobs._workers))

    assert doorbell.rung == []


async def test_a_submit_wakes_an_idle_dispatcher() -> None:
    jobs, doorbell = MemoryJobStore(), MemoryDoorbell()

    async with dispatching(jobs, doorbell):
        await eventually(lambda: bool(jobs._workers))
        job, _ = await jobs.create(a_new_job())

        await eventually(lambda: doorbell.rung == [job.job_id])


async def test_a_backlog_waits_in_the_outbox_while_the_queue_is_full() -> None:
    jobs, doorbell = MemoryJobStore(), MemoryDoorbell()
    doorbell.untaken = 100
    await jobs.create(a_new_job())

    async with dispatching(jobs, doorbell):
        await eventually(lambda: bool(jobs._workers))
        rung_while_full = list(doorbell.rung)
        doorbell.untaken = 0

        await eventually(lambda: len(doorbell.rung) == 1)

    assert rung_while_full == []


async def test_a_worker_is_announced_while_it_runs_and_forgotten_when_it_stops() -> None:
    jobs, doorbell = MemoryJobStore(), MemoryDoorbell()

    async with dispatching(jobs, doorbell):
        await eventually(lambda: bool(jobs._workers))
        live = await jobs.live_workers()

    assert live == [WORKER]
    assert await jobs.live_workers() == []


async def test_an_outage_loses_no_ring_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    at_rest = datetime(2026, 1, 2, tzinfo=UTC)  # nothing falls due a second time
    jobs, doorbell = MemoryJobStore(clock=lambda: at_rest), BrokenDoorbell(failures=2)
    submitted = [(await jobs.create(a_new_job()))[0].job_id for _ in range(3)]

    async with dispatching(jobs, doorbell):
        await eventually(lambda: len(doorbell.rung) == 3)

    assert sorted(doorbell.rung) == sorted(submitted)
    assert len([record for record in caplog.records if record.message.startswith("Cannot ring")]) == 1


async def test_nobody_is_rung_for_while_the_only_tenant_must_wait() -> None:
    jobs, doorbell = MemoryJobStore(), MemoryDoorbell()
    running, _ = await jobs.create(a_new_job())
    claim = await jobs.claim(running.job_id, owner="w", lease_seconds=60, sandbox_level="L1")
    assert claim is not None
    waiting, _ = await jobs.create(a_new_job())
    task = asyncio.create_task(dispatch(Door(jobs, doorbell, tenant_running_jobs=1), WORKER))

    await eventually(lambda: waiting.job_id not in _due_now(jobs))
    rung_while_limited = list(doorbell.rung)
    await jobs.release(running.job_id, fence=claim.fence)
    await eventually(lambda: waiting.job_id in doorbell.rung)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert rung_while_limited == []


def _due_now(jobs: MemoryJobStore) -> list[str]:
    """Return the jobs whose ring is due and has not been looked at."""
    now = jobs.clock()
    return [
        job_id
        for job_id, record in jobs._records.items()
        if record.next_ring_at is not None and record.next_ring_at <= now
    ]


async def test_a_chore_is_done_again_and_again() -> None:
    done: list[int] = []

    async def step() -> None:
        done.append(len(done))

    async with dispatching(MemoryJobStore(), MemoryDoorbell(), Chore("count", step)):
        await eventually(lambda: len(done) > 2)

    assert done[:3] == [0, 1, 2]


async def test_a_bug_in_a_chore_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    jobs, doorbell = MemoryJobStore(), MemoryDoorbell()
    failed = asyncio.Event()

    async def step() -> None:
        failed.set()
        raise RuntimeError("a bug")

    async with dispatching(jobs, doorbell, Chore("count", step)):
        await failed.wait()
        job, _ = await jobs.create(a_new_job())
        await eventually(lambda: doorbell.rung == [job.job_id])

    assert "Cannot count, by a bug of the service." in caplog.text


def test_the_thread_starts_and_stops_from_outside() -> None:
    jobs, doorbell = MemoryJobStore(), MemoryDoorbell()
    asyncio.run(jobs.create(a_new_job()))

    @asynccontextmanager
    async def door() -> AsyncIterator[Door]:
        yield Door(jobs, doorbell)

    dispatcher = Dispatcher(door, WORKER)
    dispatcher.start()
    asyncio.run(eventually(lambda: len(doorbell.rung) == 1))

    dispatcher.stop()

    assert not dispatcher._thread.is_alive()
    assert asyncio.run(jobs.live_workers()) == []
