"""What every adapter on Redis relies on: a call can be cancelled at any moment."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvloop

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.adapters.redis.client import RedisClient
from dspy_service.domain.errors import StoreUnavailableError
from tests.support.faults.proxy import TcpProxy

RESETS = 100


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[RedisClient]:
    client = RedisClient(redis_url)
    yield client
    await client.aclose()


async def test_a_task_that_is_cancelled_during_a_call_ends_whenever_that_is(client: RedisClient) -> None:
    ended = []

    for turns_of_the_loop in range(30):
        await client.command("PING")  # connects: what is cancelled before that leaves half a connection behind
        task = asyncio.create_task(client.command("PING"))
        for _ in range(turns_of_the_loop):
            await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            ended += await asyncio.gather(task, return_exceptions=True)

    assert len(ended) > 3
    assert [type(each) for each in ended] == [asyncio.CancelledError] * len(ended)
    assert await client.command("SET", "key", "after")


async def test_a_time_limit_around_a_call_is_kept(client: RedisClient) -> None:
    heard = []

    for _ in range(20):
        await client.command("PING")
        try:
            async with asyncio.timeout(0):
                await client.command("PING")
        except TimeoutError as error:
            heard.append(error)

    assert len(heard) == 20


def test_connections_that_are_reset_are_a_store_that_is_away_on_uvloop_too(valkey_server: EmbeddedValkey) -> None:
    """The API runs on uvloop, whose errors are others than asyncio's."""
    errors: set[type[BaseException]] = set()
    answers = 0

    async def call(client: RedisClient) -> None:
        nonlocal answers
        while True:
            try:
                await client.command("PING")
                answers += 1
            except Exception as error:  # noqa: BLE001  # which ones come is the question
                errors.add(type(error))

    async def reset_again_and_again(way: TcpProxy) -> None:
        client = RedisClient(way.url)
        callers = [asyncio.create_task(call(client)) for _ in range(8)]
        for _ in range(RESETS):
            heard = answers
            while answers == heard:  # noqa: ASYNC110  # the answers come to other tasks
                await asyncio.sleep(0.001)
            way.reset()
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        await client.aclose()

    with TcpProxy(valkey_server.socket_path) as way, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(reset_again_and_again(way))

    assert errors <= {StoreUnavailableError}
    assert answers >= RESETS
