"""A crowd of readers on a serving stage while serving processes are killed, and the verdict on every run."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import redis.asyncio as redis

from dspy_service.adapters.redis.key_names import run_key
from tests.support.faults.lifetimes import Lifetime
from tests.support.openai_server import OpenAIServer
from tests.support.serving_crowd import Crowd, Reading, number_of, pieces_for
from tests.support.serving_stage import ServingStage
from tests.support.waiting import until

PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Trouble:
    """How much of it."""

    readers: int
    at_once: int
    leaves: int
    """Of one reader, at most."""
    kills: int
    pieces: int
    """Of each answer."""


@dataclass(frozen=True)
class Verdict:
    """What it came to."""

    readings: Sequence[Reading]
    disconnects: int
    kills: int
    faults: Sequence[str]
    """What must not be: there should be none."""

    @property
    def lost(self) -> int:
        """Runs that ended because their process died."""
        return sum(each.is_lost for each in self.readings)


async def serving_chaos(
    stage: ServingStage, urls: Sequence[str], provider: OpenAIServer, trouble: Trouble, *, seed: int
) -> Verdict:
    """Let readers come and go, kill, and judge; one more run at the end shows that all goes on.

    Args:
        stage: With one worker of two processes or more.
        urls: Of the APIs.
        provider: Answers as ``serving_crowd.answering`` says.
        trouble: How much.
        seed: Of all whims.
    """
    draw = random.Random(seed)  # noqa: S311  # a repeatable storm
    async with Crowd(urls, draw) as crowd, _owners(stage) as owners:
        turns = asyncio.Semaphore(trouble.at_once)

        async def read(number: int) -> None:
            async with turns:
                await crowd.read(number, leaves=trouble.leaves)

        async with asyncio.TaskGroup() as tasks:
            killing = tasks.create_task(owners.kill(crowd, trouble))
            for number in range(trouble.readers):
                tasks.create_task(read(number))
        await crowd.read(trouble.readers, leaves=trouble.leaves)
        faults = await _faults(stage, crowd.readings, provider, trouble)
        return Verdict(crowd.readings, crowd.disconnects, killing.result(), faults)


class _Owners:
    """Knows which processes carry runs out."""

    def __init__(self, stage: ServingStage, client: "redis.Redis") -> None:
        self._stage = stage
        self._client = client

    async def kill(self, crowd: Crowd, trouble: Trouble) -> int:
        """Kill a process that writes, so many times, spread over the storm; return how many died."""
        expected = trouble.readers * trouble.leaves // 2  # most answers end before their readers have left so often
        for number in range(1, trouble.kills + 1):
            await until(partial(_has_seen, crowd, expected * number // (trouble.kills + 1)), seconds=PATIENCE_SECONDS)
            victims: list[Lifetime] = []
            await until(partial(self._find, crowd, victims), seconds=PATIENCE_SECONDS)
            victims[0].send(signal.SIGKILL)
        return trouble.kills

    async def _find(self, crowd: Crowd, found: list[Lifetime]) -> bool:
        """Look for a process that carries out a run that somebody has begun to read."""
        begun = [each.run_id for each in crowd.readings if each.text and not each.ends]
        owners = [str(await self._client.hget(run_key(run_id), "owner")) for run_id in begun]
        children = [child for worker in self._stage.workers for child in worker.children()]
        found += [child for child in children if any(f"/{child.pid}:" in owner for owner in owners)]
        return bool(found)


async def _has_seen(crowd: Crowd, disconnects: int) -> bool:
    return crowd.disconnects >= disconnects


@asynccontextmanager
async def _owners(stage: ServingStage) -> AsyncGenerator[_Owners, None]:
    async with redis.Redis.from_url(stage.redis_url, decode_responses=True) as client:
        yield _Owners(stage, client)


async def _faults(
    stage: ServingStage, readings: Sequence[Reading], provider: OpenAIServer, trouble: Trouble
) -> list[str]:
    calls, faults = Counter(number_of(call.body) for call in provider.received), []
    for reading in readings:
        run, log = await stage.runs.get(reading.run_id), await stage.events(reading.run_id)
        faults += reading.faults("".join(pieces_for(reading.number, trouble.pieces)), log)
        if calls[reading.number] > run.fence:
            faults.append(f"question {reading.number} was asked {calls[reading.number]} times, {run.fence} attempts")
    return faults
