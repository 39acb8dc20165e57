"""Event streams over real HTTP and a real store: what readers see while connections, processes and stores break."""

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import httpx
import pytest
from httpx_sse import EventSource

from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.client import AsyncClient
from dspy_service.domain.job import Claim
from tests.contract.job_backends import running
from tests.support.api_process import Api, api_process
from tests.support.job_samples import FAILED, a_log
from tests.support.payloads import ticket_request

pytestmark = pytest.mark.slow

FIRST_EVENTS = 3  # pending, validating, running


@pytest.fixture(scope="module")
def shared_api() -> Iterator[Api]:
    with api_process() as api:
        yield api


@pytest.fixture
def own_api() -> Iterator[Api]:
    """For tests that break it."""
    with api_process() as api:
        yield api


@pytest.fixture
async def store(shared_api: Api) -> AsyncIterator[RedisJobStore]:
    opened = RedisJobStore(shared_api.store.url)
    yield opened
    await opened.aclose()


async def write(store: RedisJobStore, claim: Claim, count: int, *, text: str = "x") -> int:
    return await store.append(claim.job.job_id, fence=claim.fence, events=[a_log(text)] * count)


async def watched(url: str, job_id: str, *, after: int = 0, upto: int | None = None) -> list[int]:
    """Watch through the SDK until the end of the job, or until a number was seen."""
    async with AsyncClient(url) as client:
        return await read(client, job_id, after=after, upto=upto)


async def read(client: AsyncClient, job_id: str, *, after: int = 0, upto: int | None = None) -> list[int]:
    seen: list[int] = []
    async with aclosing(client.watch(job_id, after=after)) as events:
        async for event in events:
            seen.append(event.seq)
            if event.seq == upto:
                break
    return seen


async def test_readers_see_a_job_as_it_happens_and_its_end(shared_api: Api, store: RedisJobStore) -> None:
    claim = await running(store)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(watched(shared_api.url, claim.job.job_id)) for _ in range(20)]
        for _ in range(10):
            await write(store, claim, 3)
        await store.finish(claim.job.job_id, fence=claim.fence, outcome=FAILED)

    assert [reader.result() for reader in readers] == [list(range(1, 35))] * 20


async def test_an_event_is_seen_soon_after_it_was_written(shared_api: Api, store: RedisJobStore) -> None:
    claim = await running(store)
    async with asyncio.timeout(30), httpx.AsyncClient(base_url=shared_api.url, trust_env=False) as http:
        path, headers = f"/jobs/{claim.job.job_id}/events?after=3", {"accept": "text/event-stream"}
        async with http.stream("GET", path, headers=headers) as answer:
            messages = EventSource(answer).aiter_sse()
            await anext(messages)  # the pause before a reconnect: it is connected
            lags = []
            for _ in range(20):
                await write(store, claim, 1)
                written_at = time.monotonic()
                await anext(messages)
                lags.append(time.monotonic() - written_at)

    assert sorted(lags)[len(lags) // 2] < 0.2


@pytest.mark.parametrize("seed", range(2))
async def test_a_hundred_random_reconnects_lose_and_double_nothing(
    seed: int, shared_api: Api, store: RedisJobStore
) -> None:
    claim = await running(store)
    draw, last = random.Random(seed), FIRST_EVENTS + 400  # noqa: S311  # the same every time

    async def fickle() -> tuple[int, list[int]]:
        seen, connections = [0], 0
        async with AsyncClient(shared_api.url) as client:
            while seen[-1] < last:
                connections += 1
                upto = min(last, seen[-1] + draw.randint(1, 40))
                seen += await read(client, claim.job.job_id, after=seen[-1], upto=upto)
        return connections, seen[1:]

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(fickle()) for _ in range(8)]
        for _ in range(80):
            await write(store, claim, 5)

    assert [reader.result()[1] for reader in readers] == [list(range(1, last + 1))] * 8
    assert sum(reader.result()[0] for reader in readers) > 100


async def test_a_reader_that_takes_nothing_is_sent_away_and_finds_everything_when_it_comes_back(
    shared_api: Api, store: RedisJobStore
) -> None:
    claim = await running(store)
    host, port = shared_api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sleepy:
        request = f"GET /jobs/{claim.job.job_id}/events HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n"
        sleepy.sendall(request.encode())
        first = await asyncio.to_thread(_received, sleepy, b": still there\n\n\r\n")  # it has caught up
        last = FIRST_EVENTS + 8000
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watched(shared_api.url, claim.job.job_id, upto=last))  # the stream has come so far
            for _ in range(80):  # 20 MB, more than the kernel keeps for one connection
                await write(store, claim, 100, text="x" * 2500)

        rest = await asyncio.to_thread(_received, sleepy, b"0\r\n\r\n")

    assert first.startswith(b"HTTP/1.1 200")
    assert b"event: error\ndata: " in rest
    assert b'"slow_reader"' in rest
    seen = max(int(line.removeprefix(b"id: ")) for line in rest.splitlines() if line.startswith(b"id: "))
    assert seen < last
    resumed = await watched(shared_api.url, claim.job.job_id, after=seen, upto=last)
    assert resumed == list(range(seen + 1, last + 1))


def _received(connection: socket.socket, end: bytes) -> bytearray:
    """Read until what was received ends so."""
    received = bytearray()
    while not received.endswith(end):
        part = connection.recv(1 << 20)
        assert part, "the connection was closed in the middle of an answer"
        received += part
    return received


async def test_readers_survive_a_restart_of_the_store(own_api: Api) -> None:
    store = RedisJobStore(own_api.store.url)
    claim = await running(store)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(watched(own_api.url, claim.job.job_id)) for _ in range(5)]
        await write(store, claim, 10)
        os.kill(own_api.store.pid, signal.SIGKILL)
        await asyncio.to_thread(own_api.store._process.wait)
        await asyncio.to_thread(own_api.store.revive)
        await write(store, claim, 10)
        await store.finish(claim.job.job_id, fence=claim.fence, outcome=FAILED)

    assert [reader.result() for reader in readers] == [list(range(1, 25))] * 5
    await store.aclose()


async def test_a_stopped_api_ends_its_streams_at_once_and_its_successor_goes_on(own_api: Api) -> None:
    store = RedisJobStore(own_api.store.url)
    claim = await running(store)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(watched(own_api.url, claim.job.job_id)) for _ in range(5)]
        await watched(own_api.url, claim.job.job_id, upto=FIRST_EVENTS)
        began = time.monotonic()
        code = await asyncio.to_thread(own_api.program.stop, signal.SIGTERM)
        took_seconds = time.monotonic() - began
        await write(store, claim, 10)
        with own_api.successor():
            await store.finish(claim.job.job_id, fence=claim.fence, outcome=FAILED)
            await asyncio.gather(*readers)

    assert (code, took_seconds < 2) == (-signal.SIGTERM, True)
    assert "Traceback" not in own_api.program.output
    assert [reader.result() for reader in readers] == [list(range(1, 15))] * 5
    await store.aclose()


async def test_a_hundred_posts_at_once_with_one_key_make_one_job(shared_api: Api) -> None:
    body, headers = ticket_request(), {"Idempotency-Key": "night-1"}
    async with httpx.AsyncClient(base_url=shared_api.url, trust_env=False, timeout=60) as http:
        answers = await asyncio.gather(*(http.post("/run", json=body, headers=headers) for _ in range(100)))
        other = await http.post("/run", json={**body, "seed": 8}, headers=headers)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert (other.status_code, other.json()["error"]) == (422, "idempotency_key_reused")
