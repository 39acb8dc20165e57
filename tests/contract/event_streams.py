"""A store with a stream over it, and what a reader of the stream sees."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from dspy_service.domain.events import Event
from dspy_service.domain.job import Claim
from dspy_service.ports import EventStream, JobStore
from tests.support.job_samples import a_log

FIRST_EVENTS = 3  # pending, validating, running
FOR_EVER = 60.0


@dataclass
class Watched:
    """A store and a stream over it."""

    store: JobStore
    stream: EventStream

    async def write(self, claim: Claim, count: int) -> int:
        """Append events in one batch and return the number of the last."""
        events = [a_log(str(number)) for number in range(count)]
        return await self.store.append(claim.job.job_id, fence=claim.fence, events=events)


async def numbers(stream: EventStream, job_id: str, *, after: int = 0, last: int) -> list[int]:
    """Watch until event ``last`` and return the numbers in the order in which they came."""
    seen: list[int] = []
    async with asyncio.timeout(20), aclosing(stream.watch(job_id, after=after, quiet_seconds=FOR_EVER)) as news:
        async for events in news:
            seen += [event.seq for event in events]
            if seen and seen[-1] >= last:
                break
    return seen


async def news_until(news: AsyncGenerator[list[Event], None], last: int) -> AsyncIterator[list[Event]]:
    async for events in news:
        yield events
        if events and events[-1].seq >= last:
            return
