"""Whoever watches a job sees every event once and in order, whenever it comes and however many others watch."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from dspy_service.adapters.memory import MemoryEventStream, MemoryJobStore
from dspy_service.adapters.redis.event_stream import RedisEventStream
from dspy_service.adapters.redis.jobs import RedisJobStore
from tests.contract.event_streams import FIRST_EVENTS, FOR_EVER, Watched, numbers
from tests.contract.job_backends import running


class StreamContract:
    async def test_it_tells_what_was_there_and_then_that_this_is_all(self, watched: Watched) -> None:
        claim = await running(watched.store)
        last = await watched.write(claim, 700)

        told: list[int] = []
        async with aclosing(watched.stream.watch(claim.job.job_id, after=2, quiet_seconds=FOR_EVER)) as news:
            async for events in news:
                if not events:
                    break
                told += [event.seq for event in events]

        assert told == list(range(3, last + 1))

    async def test_it_tells_what_comes(self, watched: Watched) -> None:
        claim = await running(watched.store)
        job_id = claim.job.job_id

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(numbers(watched.stream, job_id, last=103)) for _ in range(20)]
            for _ in range(20):
                await watched.write(claim, 5)

        assert [reader.result() for reader in readers] == [list(range(1, 104))] * 20

    async def test_it_tells_each_reader_of_its_own_job_only(self, watched: Watched) -> None:
        claims = [await running(watched.store) for _ in range(3)]

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            readers = [
                tasks.create_task(numbers(watched.stream, claim.job.job_id, last=FIRST_EVENTS + number + 1))
                for number, claim in enumerate(claims)
            ]
            for number, claim in enumerate(claims):
                await watched.write(claim, number + 1)

        assert [len(reader.result()) for reader in readers] == [4, 5, 6]

    async def test_a_reader_that_comes_late_sees_all(self, watched: Watched) -> None:
        claim = await running(watched.store)
        job_id = claim.job.job_id
        async with aclosing(watched.stream.watch(job_id, after=0, quiet_seconds=FOR_EVER)) as early:
            await anext(early)
            last = await watched.write(claim, 30)

            late = await numbers(watched.stream, job_id, last=last)
            resumed = await numbers(watched.stream, job_id, after=20, last=last)

        assert late == list(range(1, last + 1))
        assert resumed == list(range(21, last + 1))

    async def test_it_says_so_when_nothing_comes(self, watched: Watched) -> None:
        claim = await running(watched.store)

        async with (
            asyncio.timeout(5),
            aclosing(watched.stream.watch(claim.job.job_id, after=3, quiet_seconds=0.1)) as news,
        ):
            quiet = [await anext(news) for _ in range(3)]

        assert quiet == [[], [], []]

    async def test_closing_it_ends_every_watch(self, watched: Watched) -> None:
        claim = await running(watched.store)
        caught_up = asyncio.Semaphore(0)

        async def reader() -> int:
            count = 0
            async with aclosing(watched.stream.watch(claim.job.job_id, after=0, quiet_seconds=FOR_EVER)) as news:
                async for events in news:
                    count += len(events)
                    if not events:
                        caught_up.release()
            return count

        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(reader()) for _ in range(3)]
            for _ in waiting:
                await caught_up.acquire()

            await watched.stream.aclose()

        assert [task.result() for task in waiting] == [FIRST_EVENTS] * 3
        assert await reader() == 0

    @pytest.mark.parametrize("seed", range(3))
    async def test_readers_that_come_and_go_lose_and_double_nothing(self, seed: int, watched: Watched) -> None:
        claim = await running(watched.store)
        job_id, last = claim.job.job_id, FIRST_EVENTS + 300
        draw = random.Random(seed)  # noqa: S311  # the same every time

        async def fickle() -> list[int]:
            seen: list[int] = []
            while not seen or seen[-1] < last:
                stop_at = min(last, (seen[-1] if seen else 0) + draw.randint(1, 40))
                seen += await numbers(watched.stream, job_id, after=seen[-1] if seen else 0, last=stop_at)
            return seen

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(fickle()) for _ in range(8)]
            for count in [10] * 30:
                await watched.write(claim, count)

        assert [reader.result() for reader in readers] == [list(range(1, last + 1))] * 8


class TestInMemory(StreamContract):
    @pytest.fixture
    def watched(self) -> Watched:
        store = MemoryJobStore()
        return Watched(store, MemoryEventStream(store))


class TestOnRedis(StreamContract):
    @pytest.fixture
    async def watched(self, redis_url: str) -> AsyncIterator[Watched]:
        store, stream = RedisJobStore(redis_url), RedisEventStream(redis_url, window=400)
        yield Watched(store, stream)
        await stream.aclose()
        await store.aclose()
