"""Whoever watches a job sees every event once and in order, whenever it comes and however many others watch."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from os import kill
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis.asyncio as redis

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.adapters.memory import MemoryEventStream, MemoryJobStore
from dspy_service.adapters.redis.event_stream import RedisEventStream
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.errors import SlowReaderError, StoreUnavailableError
from dspy_service.domain.job import Claim
from dspy_service.ports import EventStream, JobStore
from tests.contract.job_backends import running, settled
from tests.support.job_samples import a_log
from tests.support.waiting import until

FIRST_EVENTS = 3  # pending, validating, running
FOR_EVER = 60.0


@dataclass
class Watched:
    """A store and a stream over it."""

    store: JobStore
    stream: EventStream

    async def write(self, claim: Claim, count: int) -> int:
        """Append events in one batch and return the number of the last."""
        events = [a_log(str(number)) for number in range(count)]
        return await self.store.append(claim.job.job_id, fence=claim.fence, events=events)


async def numbers(stream: EventStream, job_id: str, *, after: int = 0, last: int) -> list[int]:
    """Watch until event ``last`` and return the numbers in the order in which they came."""
    seen: list[int] = []
    async with asyncio.timeout(20), aclosing(stream.watch(job_id, after=after, quiet_seconds=FOR_EVER)) as news:
        async for events in news:
            seen += [event.seq for event in events]
            if seen and seen[-1] >= last:
                break
    return seen


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
            aclosing(watched.stream.watch(claim.job.job_id, after=3, quiet_seconds=0.02)) as news,
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

    async def test_a_hundred_readers_cost_two_connections(self, watched: Watched, raw_redis: redis.Redis) -> None:
        claims = [await running(watched.store) for _ in range(4)]
        before = len(await raw_redis.client_list())

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            for claim in claims * 25:
                tasks.create_task(numbers(watched.stream, claim.job.job_id, last=FIRST_EVENTS + 1))
            for claim in claims:
                await watched.write(claim, 1)
            during = len(await raw_redis.client_list())

        assert during - before <= 2

    async def test_what_nobody_announced_is_found_all_the_same(self, watched: Watched, raw_redis: redis.Redis) -> None:
        claim = await running(watched.store)
        job_id = claim.job.job_id
        async with asyncio.timeout(10), aclosing(watched.stream.watch(job_id, after=3, quiet_seconds=FOR_EVER)) as news:
            assert await anext(news) == []
            fields = {"v": 1, "t": 1, "a": 1, "y": "log", "d": "{}"}

            await raw_redis.xadd(f"{{dspy}}:job:{job_id}:events", fields, id="4-0")

            assert [event.seq for event in await anext(news)] == [4]

    async def test_a_broken_subscription_is_renewed(self, watched: Watched, raw_redis: redis.Redis) -> None:
        claim = await running(watched.store)
        job_id = claim.job.job_id
        async with asyncio.timeout(10), aclosing(watched.stream.watch(job_id, after=3, quiet_seconds=FOR_EVER)) as news:
            await anext(news)
            await until(lambda: raw_redis.client_list(_type="pubsub"))
            await raw_redis.client_kill_filter(_type="pubsub")

            await watched.write(claim, 1)

            assert [event.seq for event in await anext(news)] == [4]
            await until(lambda: raw_redis.client_list(_type="pubsub"))

    async def test_a_reader_that_falls_behind_is_sent_away_and_may_come_back(self, watched: Watched) -> None:
        claim = await running(watched.store)
        job_id = claim.job.job_id
        async with aclosing(watched.stream.watch(job_id, after=3, quiet_seconds=FOR_EVER)) as news:
            await anext(news)

            last = FIRST_EVENTS + 500
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(numbers(watched.stream, job_id, last=last))  # the stream itself has come so far
                for _ in range(10):
                    await watched.write(claim, 50)

            with pytest.raises(SlowReaderError, match="More than 400 events came since number 3"):
                await anext(news)
        assert await numbers(watched.stream, job_id, after=3, last=last) == list(range(4, last + 1))

    async def test_it_leaves_out_what_has_moved_to_the_archive(self, watched: Watched) -> None:
        claim = await running(watched.store)
        await settled(watched.store, claim)

        async with aclosing(watched.stream.watch(claim.job.job_id, after=0, quiet_seconds=FOR_EVER)) as news:
            told = await anext(news)

        assert told == []

    async def test_a_closed_stream_forgets_its_readers(self, watched: Watched) -> None:
        claim = await running(watched.store)

        await numbers(watched.stream, claim.job.job_id, last=FIRST_EVENTS)

        assert isinstance(watched.stream, RedisEventStream)
        assert watched.stream._feeds == {}


class TestWhenTheStoreGoesAway:
    @pytest.fixture
    def server(self) -> AsyncIterator[EmbeddedValkey]:
        with TemporaryDirectory(prefix="dspy-") as folder, EmbeddedValkey.start(Path(folder)) as server:
            yield server

    async def test_readers_go_on_once_it_is_back(self, server: EmbeddedValkey) -> None:
        store, stream = RedisJobStore(server.url), RedisEventStream(server.url)
        claim = await running(store)
        job_id = claim.job.job_id

        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(numbers(stream, job_id, last=FIRST_EVENTS + 20)) for _ in range(5)]
            await store.append(job_id, fence=1, events=[a_log("before")] * 10)
            kill(server.pid, signal.SIGKILL)
            await asyncio.to_thread(server._process.wait)
            await asyncio.to_thread(server.revive)
            await store.append(job_id, fence=1, events=[a_log("after")] * 10)

        assert [reader.result() for reader in readers] == [list(range(1, FIRST_EVENTS + 21))] * 5
        await stream.aclose()
        await store.aclose()

    async def test_readers_are_sent_away_when_it_stays_away(self, server: EmbeddedValkey) -> None:
        store, stream = RedisJobStore(server.url), RedisEventStream(server.url, patience_seconds=0.5)
        claim = await running(store)

        async with (
            asyncio.timeout(30),
            aclosing(stream.watch(claim.job.job_id, after=3, quiet_seconds=FOR_EVER)) as news,
        ):
            await anext(news)
            server.stop()
            with pytest.raises(StoreUnavailableError):
                await anext(news)

        await until(lambda: _is_over(stream))
        await stream.aclose()
        await store.aclose()


async def _is_over(stream: RedisEventStream) -> bool:
    return stream._listener is None or stream._listener.done()
