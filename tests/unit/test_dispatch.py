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
async def dispatching(jobs: MemoryJobStore, doorbell: MemoryDoorbell) -> AsyncIterator[None]:
    task = asyncio.create_task(dispatch(Door(jobs, doorbell), WORKER))
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
