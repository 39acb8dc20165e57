"""The journal upon a real store and a real folder, and a process that is killed in the middle."""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.artifact_paths import journal_folder
from dspy_service.domain.budget import Budget
from dspy_service.domain.job import JobStatus
from dspy_service.domain.result import RoleUsage
from dspy_service.domain.spec import ModelSettings
from tests.support.asking import DISTINCT, LEASE_SECONDS, THREADS, Program, attempt
from tests.support.claims import JOB_ID, new_job
from tests.support.lm_calls import spec
from tests.support.openai_server import OpenAIServer, always
from tests.support.valkey import raw_redis, redis_url, valkey_server
from tests.support.waiting import until
from workers.lm.doors import JOURNAL_BYTES

__all__ = ["raw_redis", "redis_url", "valkey_server"]

_ROOT = Path(__file__).parents[3]


async def _killed_attempt(
    url: str, folder: Path, server: OpenAIServer, *, after_calls: int, journal_bytes: int = JOURNAL_BYTES
) -> None:
    after_calls += len(server.received)
    command = (sys.executable, "-m", "tests.support.asking", url, str(folder), str(journal_bytes))
    child = await asyncio.create_subprocess_exec(*command, env={**os.environ, "PYTHONPATH": str(_ROOT)})
    async with asyncio.timeout(30):
        while len(server.received) < after_calls:  # noqa: ASYNC110  # the server is on another thread
            await asyncio.sleep(0.002)
    child.kill()
    await child.wait()


async def _whole_attempt(
    jobs: RedisJobStore, folder: Path, *, journal_bytes: int = JOURNAL_BYTES
) -> tuple[Program, RoleUsage]:
    """Run the program to its end, and return it with what all attempts used."""
    claim, door = await attempt(jobs, folder, journal_bytes=journal_bytes)
    program = Program(door)
    running = asyncio.create_task(program.run())
    while not running.done():
        await jobs.renew(JOB_ID, fence=claim.fence, lease_seconds=LEASE_SECONDS)
        await asyncio.wait({running}, timeout=LEASE_SECONDS / 4)
    running.result()
    await door.aclose()
    return program, door.usage().roles["task"]


@pytest.mark.parametrize("share", [0.2, 0.9])
async def test_a_killed_process_costs_no_more_than_its_calls_in_flight(
    redis_url: str, tmp_path: Path, share: float
) -> None:
    with OpenAIServer(always("ok", delay_seconds=0.02)) as server:
        jobs = RedisJobStore(redis_url)
        await jobs.create(new_job(spec(ModelSettings(name="openai/test", base_url=server.base_url))))
        await _killed_attempt(redis_url, tmp_path, server, after_calls=int(share * DISTINCT))
        await until(lambda: jobs.reap(lease_seconds=LEASE_SECONDS, max_losses=3))

        program, usage = await _whole_attempt(jobs, tmp_path)
        job, tail = await jobs.get(JOB_ID), await jobs.answers(JOB_ID)
        await jobs.aclose()

    asked = Counter(request.body["messages"][-1]["content"] for request in server.received)
    assert len(asked) == DISTINCT == len(program.told) == usage.calls
    assert sum(asked.values()) - DISTINCT <= THREADS
    assert usage.replayed_calls >= int(share * DISTINCT) - THREADS
    assert (job.attempt, job.losses, job.status) == (2, 1, JobStatus.VALIDATING)
    assert tail[1] == []
    assert {path.suffix for path in (tmp_path / journal_folder(JOB_ID)).iterdir()} == {".seg"}


async def test_a_budget_holds_over_two_kills_although_the_journal_keeps_no_answer(
    redis_url: str, tmp_path: Path
) -> None:
    with OpenAIServer(always("ok", delay_seconds=0.02)) as server:
        jobs = RedisJobStore(redis_url)
        model = ModelSettings(name="openai/test", base_url=server.base_url)
        await jobs.create(new_job(spec(model, budget=Budget(max_lm_calls=150))))
        for _ in range(2):
            await _killed_attempt(redis_url, tmp_path, server, after_calls=60, journal_bytes=0)
            await until(lambda: jobs.reap(lease_seconds=LEASE_SECONDS, max_losses=3))

        _, usage = await _whole_attempt(jobs, tmp_path, journal_bytes=0)
        _, tail = await jobs.answers(JOB_ID)
        await jobs.aclose()

    assert usage.calls == 150
    assert 150 <= len(server.received) <= 150 + 2 * THREADS
    assert tail == []
