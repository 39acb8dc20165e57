"""A program that always asks the same, in several threads, whatever it is told; alone, to be killed, when run."""

import asyncio
import itertools
import sys
from pathlib import Path
from typing import Final

from dspy_service.adapters.folder_artifacts import FolderArtifactStore
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.job import Claim
from tests.support.claims import JOB_ID
from tests.support.lm_calls import Answers, lm_frame
from workers.lm.broker import Broker
from workers.lm.doors import JOURNAL_BYTES, BrokerDoors
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry

THREADS: Final = 8
STEPS: Final = 40
SHARED: Final = 7
"""Every so many steps, all threads ask the same."""
DISTINCT: Final = THREADS * STEPS - (THREADS - 1) * len(range(0, STEPS, SHARED))
KEY: Final = b"k" * 32
LEASE_SECONDS: Final = 1.0


class Program:
    """Asks in several threads, some questions more than once, and remembers what it was told."""

    def __init__(self, door: Broker) -> None:
        self._door = door
        self._numbers = itertools.count()
        self._answers = Answers()
        self.told: dict[str, str] = {}
        self.changed_its_mind = False

    async def run(self) -> None:
        await asyncio.gather(*(self._thread(thread) for thread in range(THREADS)))

    async def _thread(self, thread: int) -> None:
        for step in range(STEPS):
            shared = step % SHARED == 0
            await self._ask(f"question {step}" if shared else f"question {step} of {thread}")

    async def _ask(self, text: str) -> None:
        number = next(self._numbers)
        self._door.ask(lm_frame(number, text), self._answers)
        frame = await self._answers.wait_for(number)
        told = repr(frame.get("response") or frame.get("error"))
        self.changed_its_mind |= self.told.setdefault(text, told) != told


async def attempt(jobs: RedisJobStore, folder: Path, *, journal_bytes: int = JOURNAL_BYTES) -> tuple[Claim, Broker]:
    """Claim the job and open its door."""
    claim = await jobs.claim(JOB_ID, owner="w", lease_seconds=LEASE_SECONDS, sandbox_level="L1")
    assert claim is not None
    registry = ModelRegistry(read_provider_environment({}))
    doors = BrokerDoors(registry, artifacts=FolderArtifactStore(folder), secret_key=KEY, journal_bytes=journal_bytes)
    return claim, await doors.open(claim, tail=jobs)


async def main(url: str, folder: str, journal_bytes: str) -> None:
    jobs = RedisJobStore(url)
    _, door = await attempt(jobs, Path(folder), journal_bytes=int(journal_bytes))
    await Program(door).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
