"""The journal upon a real store and a real folder, and a process that is killed in the middle."""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.artifact_paths import journal_folder
from dspy_service.domain.job import JobStatus
from dspy_service.domain.spec import ModelSettings
from tests.support.asking import DISTINCT, LEASE_SECONDS, THREADS, Program, attempt
from tests.support.claims import JOB_ID, new_job
from tests.support.lm_calls import spec
from tests.support.openai_server import OpenAIServer, always
from tests.support.valkey import raw_redis, redis_url, valkey_server
from tests.support.waiting import until

__all__ = ["raw_redis", "redis_url", "valkey_server"]

_ROOT = Path(__file__).parents[3]


async def _killed_attempt(url: str, folder: Path, server: OpenAIServer, *, after_calls: int) -> None:
    command = (sys.executable, "-m", "tests.support.asking", url, str(folder))
    child = await asyncio.create_subprocess_exec(*command, env={**os.environ, "PYTHONPATH": str(_ROOT)})
    async with asyncio.timeout(30):
        while len(server.received) < after_calls:  # noqa: ASYNC110  # the server is on another thread
            await asyncio.sleep(0.002)
    child.kill()
    await child.wait()


@pytest.mark.parametrize("share", [0.2, 0.9])
async def test_a_killed_process_costs_no_more_than_its_calls_in_flight(
    redis_url: str, tmp_path: Path, share: float
) -> None:
    with OpenAIServer(always("ok", delay_seconds=0.02)) as server:
        jobs = RedisJobStore(redis_url)
        await jobs.create(new_job(spec(ModelSettings(name="openai/test", base_url=server.base_url))))
        await _killed_attempt(redis_url, tmp_path, server, after_calls=int(share * DISTINCT))
        await until(lambda: jobs.reap(lease_seconds=LEASE_SECONDS, max_losses=3))

        claim, door = await attempt(jobs, tmp_path)
        program = Program(door)
        running = asyncio.create_task(program.run())
        while not running.done():
            await jobs.renew(JOB_ID, fence=claim.fence, lease_seconds=LEASE_SECONDS)
            await asyncio.wait({running}, timeout=LEASE_SECONDS / 4)
        running.result()
        await door.aclose()
        job, tail = await jobs.get(JOB_ID), await jobs.answers(JOB_ID)
        await jobs.aclose()

    asked = Counter(request.body["messages"][-1]["content"] for request in server.received)
    usage = door.usage().roles["task"]
    assert len(asked) == DISTINCT == len(program.told) == usage.calls
    assert sum(asked.values()) - DISTINCT <= THREADS
    assert usage.replayed_calls >= int(share * DISTINCT) - THREADS
    assert (job.attempt, job.losses, job.status) == (2, 1, JobStatus.VALIDATING)
    assert tail[1] == []
    assert {path.suffix for path in (tmp_path / journal_folder(JOB_ID)).iterdir()} == {".seg"}
