"""How the stream on Redis reaches many readers over two connections, and what becomes of them when Redis fails."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from os import kill
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis.asyncio as redis

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.adapters.redis.event_stream import RedisEventStream
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.errors import SlowReaderError, StoreUnavailableError
from tests.contract.event_streams import FIRST_EVENTS, FOR_EVER, Watched, news_until, numbers
from tests.contract.job_backends import running, settled
from tests.support.job_samples import a_log
from tests.support.waiting import until


@pytest.fixture
async def watched(redis_url: str) -> AsyncIterator[Watched]:
    store, stream = RedisJobStore(redis_url), RedisEventStream(redis_url, window=400)
    yield Watched(store, stream)
    await stream.aclose()
    await store.aclose()


class TestReaders:
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

    async def test_a_reader_who_catches_up_holds_few_large_events_at_a_time(self, watched: Watched) -> None:
        claim = await running(watched.store)
        for _ in range(60):
            await watched.store.append(claim.job.job_id, fence=claim.fence, events=[a_log("x" * 60_000)] * 10)
        pages = []

        async with (
            asyncio.timeout(20),
            aclosing(watched.stream.watch(claim.job.job_id, after=0, quiet_seconds=1)) as told,
        ):
            async for news in told:
                pages.append(len(news))
                if sum(pages) >= FIRST_EVENTS + 600 - 400:  # the rest may stand in the window that all readers share
                    break

        assert max(pages) <= 8

    async def test_a_busy_neighbour_does_not_keep_a_quiet_log_from_being_looked_at(
        self, watched: Watched, raw_redis: redis.Redis
    ) -> None:
        quiet, busy = await running(watched.store), await running(watched.store)
        key = f"{{dspy}}:job:{quiet.job.job_id}:events"

        async def write_without_end() -> None:
            while True:
                await watched.write(busy, 1)

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            neighbours = [
                tasks.create_task(write_without_end()),
                tasks.create_task(numbers(watched.stream, busy.job.job_id, last=10**9)),
            ]
            async with aclosing(watched.stream.watch(quiet.job.job_id, after=3, quiet_seconds=0.1)) as news:
                assert await anext(news) == []
                assert await anext(news) == []
                await raw_redis.xadd(key, {"v": 1, "t": 1, "a": 1, "y": "log", "d": "{}"}, id="4-0")

                found = [events async for events in news_until(news, 4)]

            for neighbour in neighbours:
                neighbour.cancel()

        assert [event.seq for events in found for event in events] == [4]

    async def test_a_busy_log_is_not_quiet(self, watched: Watched) -> None:
        claim = await running(watched.store)
        clock = asyncio.get_running_loop().time
        waits: list[tuple[float, int]] = []

        async with (
            asyncio.timeout(20),
            aclosing(watched.stream.watch(claim.job.job_id, after=3, quiet_seconds=0.5)) as news,
        ):
            assert await anext(news) == []
            ends_at = clock() + 1.5
            while clock() < ends_at:
                await watched.write(claim, 1)
                asked_at = clock()
                count = len(await anext(news))
                waits.append((clock() - asked_at, count))

        assert sum(count for _, count in waits) > 1
        assert [seconds for seconds, count in waits if not count and seconds < 0.5] == []

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
    def server(self) -> Iterator[EmbeddedValkey]:
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
