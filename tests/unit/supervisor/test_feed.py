"""Events on their way to the job store."""

import asyncio
from typing import Any

import pytest

from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import JobStatus
from tests.support.claims import JOB_ID, claimed, new_job, take_over, told
from workers.supervisor.feed import MAX_BACKLOG_EVENTS, MAX_BATCH_EVENTS, MAX_METRICS, EventFeed


def _progress(event: str, **metrics: object) -> NewEvent:
    return NewEvent(type=EventType.PROGRESS, data={"event": event, "metrics": metrics})


def _log(text: str) -> NewEvent:
    return NewEvent(type=EventType.LOG, data={"level": "INFO", "logger": "t", "message": text})


async def test_events_arrive_in_order_around_the_change_of_state() -> None:
    jobs, claim = await claimed()
    feed = EventFeed(claim, jobs)
    feed.add(_log("before"))
    feed.advance()
    feed.add(_log("after"))

    await feed.flush()

    assert (await jobs.get(JOB_ID)).status is JobStatus.RUNNING
    assert [data.get("message") or data["status"] for data in (await told(jobs))[2:]] == ["before", "running", "after"]


async def test_the_record_keeps_the_merged_metrics_the_newest_name_and_the_eta() -> None:
    jobs, claim = await claimed()
    feed = EventFeed(claim, jobs)
    feed.add(_progress("baseline_evaluated", baseline_test_metric=0.5, rows=3))
    feed.add(_progress("optimizer_progress", rows=4), eta_seconds=60.0)

    await feed.flush()

    job = await jobs.get(JOB_ID)
    assert job.latest_metrics == {"baseline_test_metric": 0.5, "rows": 4}
    assert job.message == "optimizer_progress"
    assert 55 < (job.remaining_seconds(await jobs.now()) or 0) <= 60


async def test_a_batch_is_one_write_and_never_too_large() -> None:
    sizes: list[int] = []

    class Counting(MemoryJobStore):
        async def append(self, job_id: str, **fields: Any) -> int:  # noqa: ANN401  # handed on
            sizes.append(len(fields["events"]))
            return await super().append(job_id, **fields)

    jobs = Counting()
    await jobs.create(new_job())
    claim = await jobs.claim(JOB_ID, owner="w", lease_seconds=60, sandbox_level="L1")
    feed = EventFeed(claim, jobs)
    for number in range(MAX_BATCH_EVENTS + 3):
        feed.add(_log(str(number)))

    await feed.flush()

    assert sizes == [MAX_BATCH_EVENTS, 3]


async def test_metrics_that_never_end_do_not_grow_the_record() -> None:
    jobs, claim = await claimed()
    feed = EventFeed(claim, jobs)
    feed.add(_progress("p", huge="x" * 10_000))
    for number in range(MAX_METRICS * 2):
        feed.add(_progress("p", **{f"m{number}": number}))

    await feed.flush()

    metrics = (await jobs.get(JOB_ID)).latest_metrics
    assert len(metrics) == MAX_METRICS
    assert "huge" not in metrics


async def test_it_is_full_when_the_store_falls_behind_and_says_when_there_is_room() -> None:
    jobs, claim = await claimed()
    rooms = []
    feed = EventFeed(claim, jobs, on_room=lambda: rooms.append(feed.is_full))
    for _ in range(MAX_BACKLOG_EVENTS + 1):
        feed.add(_log("x"))
    assert feed.is_full

    await feed.flush()

    assert not feed.is_full
    assert rooms[-1] is False


async def test_large_events_fill_it_by_their_bytes() -> None:
    _, claim = await claimed()
    feed = EventFeed(claim, MemoryJobStore())

    feed.add(_log("x"), size=9 << 20)

    assert feed.is_full


async def test_a_stale_worker_writes_nothing() -> None:
    jobs, claim = await claimed()
    feed = EventFeed(claim, jobs)
    feed.add(_log("late"))
    await take_over(jobs)

    with pytest.raises(LeaseLostError):
        await feed.flush()

    assert all(data.get("message") != "late" for data in await told(jobs))


async def test_a_short_absence_of_the_store_loses_nothing() -> None:
    class Absent(MemoryJobStore):
        failures = 2

        async def append(self, job_id: str, **fields: Any) -> int:  # noqa: ANN401  # handed on
            if self.failures:
                self.failures -= 1
                raise StoreUnavailableError("job store")
            return await super().append(job_id, **fields)

    jobs = Absent()
    await jobs.create(new_job())
    claim = await jobs.claim(JOB_ID, owner="w", lease_seconds=60, sandbox_level="L1")
    feed = EventFeed(claim, jobs)
    feed.add(_log("kept"))

    await feed.flush()

    assert (await told(jobs, EventType.LOG))[0]["message"] == "kept"


async def test_it_writes_by_itself_within_a_moment() -> None:
    jobs, claim = await claimed()
    feed = EventFeed(claim, jobs)
    task = asyncio.create_task(feed.run())
    feed.add(_log("soon"))

    async with asyncio.timeout(2):
        while not await told(jobs, EventType.LOG):  # noqa: ASYNC110  # the store has no event to wait for
            await asyncio.sleep(0.01)

    feed.close()
    await task


async def test_a_closed_feed_writes_what_is_left_and_ends() -> None:
    jobs, claim = await claimed()
    feed = EventFeed(claim, jobs)
    feed.add(_log("last"))

    feed.close()
    await feed.run()

    assert (await told(jobs, EventType.LOG))[0]["message"] == "last"


async def test_a_write_whose_answer_was_lost_is_not_written_twice() -> None:
    class Deaf(MemoryJobStore):
        answers_lost = 1

        async def append(self, job_id: str, **fields: Any) -> int:  # noqa: ANN401  # handed on
            last_seq = await super().append(job_id, **fields)
            if self.answers_lost:
                self.answers_lost -= 1
                raise StoreUnavailableError("job store")
            return last_seq

    jobs = Deaf()
    await jobs.create(new_job())
    claim = await jobs.claim(JOB_ID, owner="w", lease_seconds=60, sandbox_level="L1")
    feed = EventFeed(claim, jobs)
    for text in ("one", "two"):
        feed.add(_log(text))
        await feed.flush()

    assert [data["message"] for data in await told(jobs, EventType.LOG)] == ["one", "two"]


async def test_whoever_waits_for_room_gets_it_when_the_store_has_caught_up() -> None:
    jobs, claim = await claimed()
    feed = EventFeed(claim, jobs)
    feed.add(_log("x"), size=9 << 20)
    waiting = asyncio.create_task(feed.room())
    await asyncio.sleep(0)
    assert not waiting.done()

    await feed.flush()

    await asyncio.wait_for(waiting, timeout=5)
