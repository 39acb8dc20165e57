"""What happens to the processes of a serving stage while a crowd reads, and whose runs may be lost by it."""

import random
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal

import redis.asyncio as redis

from dspy_service.adapters.redis.key_names import RUN_LEASES, run_key
from tests.support.faults.lifetimes import Lifetime
from tests.support.serving_apis import StageApi
from tests.support.serving_crowd import Crowd
from tests.support.serving_stage import ServingStage
from tests.support.waiting import until

Fault = Literal["kill", "freeze", "deploy", "kill API"]
"""``kill``: of a process that carries runs out. ``freeze``: until others have taken its runs for lost. ``deploy``: it
is told to end. ``kill API``: one of those that are read from; it comes back."""

_FIND_SECONDS: Final = 60.0


class Faults:
    """Strikes. Belongs to one event loop.

    Args:
        stage: With one worker of two processes or more.
        apis: Those that the crowd reads from.
        crowd: Whoever reads.
        draw: Chooses the victims.
        client: Of the stage's store.
    """

    def __init__(
        self, stage: ServingStage, apis: Sequence[StageApi], crowd: Crowd, draw: random.Random, client: "redis.Redis"
    ) -> None:
        self._stage = stage
        self._apis = apis
        self._crowd = crowd
        self._draw = draw
        self._client = client
        self._processes = len(self._children())
        self.struck: Counter[Fault] = Counter()
        self.condemned: set[str] = set()
        """Runs that a process held when it was killed or frozen: they, and no others, may be lost."""

    async def strike(self, fault: Fault) -> None:
        """Let one of them happen, and wait until everything stands again."""
        strikes: dict[Fault, Callable[[], Awaitable[None]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "deploy": self._deploy,
            "kill API": self._kill_api,
        }
        await strikes[fault]()
        self.struck[fault] += 1

    async def _kill(self) -> None:
        victim = await self._victim()
        victim.send(signal.SIGSTOP)  # while it is asked what it holds, its parent must not see it dead
        self.condemned |= await self._held_by(victim)
        victim.send(signal.SIGKILL)
        await self._replaced(victim)

    async def _freeze(self) -> None:
        victim = await self._victim()
        victim.send(signal.SIGSTOP)
        try:
            held = await self._held_by(victim)
            self.condemned |= held

            async def are_over() -> bool:
                return all([(await self._stage.runs.get(run_id)).status.is_terminal for run_id in held])

            await until(are_over, seconds=_FIND_SECONDS)
        finally:
            victim.send(signal.SIGCONT)

    async def _deploy(self) -> None:
        victim = await self._victim()
        victim.send(signal.SIGTERM)
        await self._replaced(victim)

    async def _kill_api(self) -> None:
        await self._draw.choice(self._apis).kill_and_restart()

    async def _victim(self) -> Lifetime:
        """Return a process that carries out a run that somebody has begun to read."""
        found: list[Lifetime] = []

        async def look() -> bool:
            begun = [each.run_id for each in self._crowd.readings if each.text and not each.ends]
            owners = [str(await self._client.hget(run_key(run_id), "owner")) for run_id in begun]
            found.extend(child for child in self._children() if any(_is_of(owner, child) for owner in owners))
            return bool(found)

        await until(look, seconds=_FIND_SECONDS)
        return self._draw.choice(sorted(found, key=lambda each: each.pid))

    async def _held_by(self, victim: Lifetime) -> set[str]:
        """Return the runs whose lease a process has that does nothing more."""
        await self._client.ping()  # whatever it sent before has been heard
        leased = list(map(str, await self._client.zrange(RUN_LEASES, 0, -1)))
        owners = [str(await self._client.hget(run_key(run_id), "owner")) for run_id in leased]
        return {run_id for run_id, owner in zip(leased, owners, strict=True) if _is_of(owner, victim)}

    async def _replaced(self, victim: Lifetime) -> None:
        async def is_replaced() -> bool:
            return victim.is_over and len(self._children()) >= self._processes

        await until(is_replaced, seconds=_FIND_SECONDS)

    def _children(self) -> set[Lifetime]:
        return {child for worker in self._stage.workers for child in worker.children()}


def _is_of(owner: str, process: Lifetime) -> bool:
    return f"/{process.pid}:" in owner


@asynccontextmanager
async def serving_faults(
    stage: ServingStage, apis: Sequence[StageApi], crowd: Crowd, draw: random.Random
) -> AsyncGenerator[Faults, None]:
    """Connect to the stage's store around the block."""
    async with redis.Redis.from_url(stage.redis_url, decode_responses=True) as client:
        yield Faults(stage, apis, crowd, draw, client)
