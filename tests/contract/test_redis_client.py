"""What every adapter on Redis relies on: a call can be cancelled at any moment."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from dspy_service.adapters.redis.client import RedisClient


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
