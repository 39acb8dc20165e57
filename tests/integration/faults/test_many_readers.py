"""Case 13: five hundred readers of one job, one of them asleep, and one who comes for what is not there any more."""

import asyncio
import json
from pathlib import Path

import pytest
import redis.asyncio as redis

from dspy_service.adapters.redis import key_names
from dspy_service.domain.job import Claim
from tests.support.faults.platform_marks import on_linux
from tests.support.faults.stage import Stage
from tests.support.job_samples import FAILED, a_log

pytestmark = [pytest.mark.slow, on_linux]

READERS = 500
FIRST_EVENTS = 3  # pending, validating, running
ROUNDS = 10
EVENT_BYTES = 10_000
GROWTH_BYTES = 200 * 1024**2
"""More than five hundred connections and one log of 2 MB take, and much less than a log for each reader."""


async def test_five_hundred_readers_get_everything_once_and_a_sleeper_costs_no_memory(faults: Stage) -> None:
    api = await faults.api()
    claim = await running(faults)
    host, port = api.base_url.removeprefix("http://").split(":")
    before_bytes = resident_bytes(api.process.pid)
    _, sleeper = await connected(host, int(port), claim.job.job_id)

    async with asyncio.timeout(90), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(read_all(host, int(port), claim.job.job_id)) for _ in range(READERS)]
        for _ in range(ROUNDS):
            await faults.jobs.append(claim.job.job_id, fence=claim.fence, events=[a_log("x" * EVENT_BYTES)] * 20)
        await faults.jobs.finish(claim.job.job_id, fence=claim.fence, outcome=FAILED)
    sleeper.close()

    numbers = list(range(1, FIRST_EVENTS + 20 * ROUNDS + 2))
    assert [reader.result() for reader in readers] == [numbers] * READERS
    assert resident_bytes(api.process.pid) - before_bytes < GROWTH_BYTES


async def test_a_reader_who_comes_for_events_that_were_removed_is_told_which(faults: Stage) -> None:
    api = await faults.api()
    claim = await running(faults)
    job_id = claim.job.job_id
    await faults.jobs.append(job_id, fence=claim.fence, events=[a_log("x")] * 20)
    async with redis.Redis.from_url(faults.store.url) as raw:
        await raw.xtrim(key_names.log_key(job_id), minid="10-0", approximate=False)
    await faults.jobs.finish(job_id, fence=claim.fence, outcome=FAILED)
    host, port = api.base_url.removeprefix("http://").split(":")

    reader, writer = await connected(host, int(port), job_id, after=2)
    async with asyncio.timeout(30):
        told = (await reader.readuntil(b"event: end")).decode()
    writer.close()

    gap = told.partition("event: gap\ndata: ")[2].partition("\n")[0]
    assert json.loads(gap) == {"from": 3, "to": 9}
    assert numbers_in(told) == list(range(10, FIRST_EVENTS + 20 + 2))


async def running(stage: Stage) -> Claim:
    """Submit a job and play its worker."""
    job_id = await stage.submit()
    claim = await stage.jobs.claim(job_id, owner="test", lease_seconds=600, sandbox_level="L1")
    assert claim is not None
    await stage.jobs.advance(job_id, fence=claim.fence)
    return claim


async def connected(
    host: str, port: int, job_id: str, *, after: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for the stream of a job."""
    reader, writer = await asyncio.open_connection(host, port)
    lines = (f"GET /jobs/{job_id}/events?after={after} HTTP/1.1", f"Host: {host}", "Accept: text/event-stream", "", "")
    writer.write("\r\n".join(lines).encode())
    await writer.drain()
    return reader, writer


async def read_all(host: str, port: int, job_id: str) -> list[int]:
    """Read to the end; a reader that was sent away because it was slow resumes."""
    numbers: list[int] = []
    while True:
        reader, writer = await connected(host, port, job_id, after=numbers[-1] if numbers else 0)
        has_ended = False
        while line := await reader.readline():
            if line.startswith(b"id: "):
                numbers.append(int(line[4:]))
            has_ended |= line.startswith(b"event: end")
            if has_ended or line.startswith(b"event: error"):
                break
        writer.close()
        if has_ended:
            return numbers


def numbers_in(told: str) -> list[int]:
    return [int(line[4:]) for line in told.splitlines() if line.startswith("id: ")]


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
