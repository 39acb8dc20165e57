"""Events are numbered from 1 without gaps, in the order of time, and can be read from any number."""

import asyncio
import math
from datetime import timedelta

from tests.contract.job_backends import Backend, InMemory, OnRedis, running
from tests.support.job_samples import OUTCOME, a_log


class EventsContract:
    async def test_concurrent_appends_are_numbered_without_gaps(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id

        lasts = await asyncio.gather(
            *(backend.store.append(job_id, fence=1, events=[a_log(f"{n}a"), a_log(f"{n}b")]) for n in range(40)),
        )

        events = await backend.store.events(job_id)
        texts = [event.data["message"] for event in events[3:]]
        assert [event.seq for event in events] == list(range(1, 84))
        assert max(lasts) == (await backend.store.get(job_id)).last_seq == 83
        assert all(second == first.replace("a", "b") for first, second in zip(texts[::2], texts[1::2], strict=True))
        assert {event.attempt for event in events[1:]} == {1}

    async def test_an_append_refreshes_the_record(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id

        await backend.store.append(
            job_id,
            fence=1,
            events=[a_log("x")],
            latest_metrics={"score": 0.5, "seen": (1, 2), "bad": math.nan},
            message="optimizer_progress",
            eta_seconds=90.5,
        )
        await backend.store.append(job_id, fence=1, events=[a_log("y")])

        job = await backend.store.get(job_id)
        [x] = [event for event in await backend.store.events(job_id) if event.data.get("message") == "x"]
        assert job.latest_metrics == {"score": 0.5, "seen": [1, 2], "bad": None}
        assert job.message == "optimizer_progress"
        assert job.eta_at == x.timestamp + timedelta(seconds=90.5)

    async def test_an_append_without_events_only_refreshes_the_record(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id

        last = await backend.store.append(job_id, fence=1, events=[], message="soon")

        assert last == 3
        assert (await backend.store.get(job_id)).message == "soon"

    async def test_a_batch_that_comes_again_changes_nothing(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.append(job_id, fence=1, events=[a_log("unnamed")])
        first = await backend.store.append(job_id, fence=1, events=[a_log("one")], message="one", batch="1")

        again = await backend.store.append(job_id, fence=1, events=[a_log("one")], message="changed", batch="1")
        second = await backend.store.append(job_id, fence=1, events=[a_log("two")], batch="2")

        told = [event.data["message"] for event in (await backend.store.events(job_id))[3:]]
        assert told == ["unnamed", "one", "two"]
        assert (first, again, second) == (5, 5, 6)
        assert (await backend.store.get(job_id)).message == "one"

    async def test_events_are_read_by_number(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.append(job_id, fence=1, events=[a_log(str(n)) for n in range(2500)])

        everything = await backend.store.events(job_id)
        page = await backend.store.events(job_id, after=1200, limit=1100)

        assert [event.seq for event in everything] == list(range(1, 2504))
        assert page == everything[1200:2300]
        assert await backend.store.events(job_id, after=2503) == []
        assert await backend.store.events(job_id, limit=0) == []

    async def test_times_never_go_back(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.put_clock_back(job_id)

        await backend.store.append(job_id, fence=1, events=[a_log("after the clock was set back")], eta_seconds=1)
        job = await backend.store.finish(job_id, fence=1, outcome=OUTCOME)

        times = [event.timestamp for event in await backend.store.events(job_id)]
        assert times == sorted(times)
        assert job.completed_at == times[-1]


class TestEventsInMemory(InMemory, EventsContract):
    pass


class TestEventsOnRedis(OnRedis, EventsContract):
    pass
