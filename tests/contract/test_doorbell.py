"""A ring reaches the queue that the workers listen on, and a Redis that is away is told as such."""

import base64
import json
import os
import signal
import time
from pathlib import Path

import pytest
import redis.asyncio as redis

from dspy_service.adapters.celery_doorbell import CeleryDoorbell
from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.adapters.memory import MemoryDoorbell
from dspy_service.domain.errors import StoreUnavailableError


async def test_a_ring_is_one_json_message_that_holds_only_the_id(redis_url: str, raw_redis: redis.Redis) -> None:
    doorbell = CeleryDoorbell(redis_url)

    await doorbell.ring("job-1")
    await doorbell.ring("job-1")
    await doorbell.aclose()

    messages = [json.loads(text) for text in await raw_redis.lrange("dspy-service:jobs", 0, -1)]
    assert [message["headers"]["task"] for message in messages] == ["workers.ring", "workers.ring"]
    assert {message["content-type"] for message in messages} == {"application/json"}
    assert json.loads(base64.b64decode(messages[0]["body"]))[:2] == [["job-1"], {}]


async def test_rings_wait_until_a_worker_takes_them(redis_url: str, raw_redis: redis.Redis) -> None:
    doorbell = CeleryDoorbell(redis_url)
    before = await doorbell.waiting()
    await doorbell.ring("job-1")
    await doorbell.ring("job-2")

    after = await doorbell.waiting()
    await raw_redis.lpop("dspy-service:jobs")
    taken = await doorbell.waiting()

    await doorbell.aclose()
    assert (before, after, taken) == (0, 2, 1)


async def test_a_dead_broker_is_unavailable(tmp_path: Path) -> None:
    doorbell = CeleryDoorbell(f"unix://{tmp_path}/valkey.sock")

    with pytest.raises(StoreUnavailableError):
        await doorbell.ring("job-1")
    with pytest.raises(StoreUnavailableError):
        await doorbell.waiting()

    await doorbell.aclose()


async def test_a_broker_that_falls_silent_is_unavailable_and_rings_again_later(
    redis_url: str, valkey_server: EmbeddedValkey
) -> None:
    doorbell = CeleryDoorbell(redis_url)
    await doorbell.ring("job-1")

    os.kill(valkey_server.pid, signal.SIGSTOP)
    start = time.perf_counter()
    try:
        with pytest.raises(StoreUnavailableError):
            await doorbell.ring("job-2")
    finally:
        os.kill(valkey_server.pid, signal.SIGCONT)

    assert time.perf_counter() - start < 10
    await doorbell.ring("job-2")
    await doorbell.aclose()


async def test_the_doorbell_in_memory_remembers_and_is_answered() -> None:
    answered: list[str] = []

    async def answer(job_id: str) -> None:
        answered.append(job_id)

    doorbell = MemoryDoorbell(answer)
    await doorbell.ring("job-1")
    await doorbell.aclose()

    assert doorbell.rung == answered == ["job-1"]
