"""The event stream in memory: looks again and again, which is cheap where nothing has to be fetched."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from dspy_service.domain.events import Event
from dspy_service.ports import EventLog

if TYPE_CHECKING:
    from dspy_service.adapters.memory.jobs import MemoryJobStore
    from dspy_service.ports import EventStream

_PAGE = 250
_LOOK_SECONDS = 0.01


class MemoryEventStream:
    """Watches the logs of a job store in the same process; no reader is ever too slow for it."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._is_closed = False

    async def watch(self, job_id: str, *, after: int, quiet_seconds: float) -> AsyncGenerator[list[Event], None]:
        """Yield what there is, then what comes."""
        clock = asyncio.get_running_loop().time
        position, quiet_until = after, clock()
        while not self._is_closed:
            if page := await self._log.events(job_id, after=position, limit=_PAGE):
                position = page[-1].seq
                yield page
            elif clock() >= quiet_until:
                yield []
                quiet_until = clock() + quiet_seconds
            else:
                await asyncio.sleep(_LOOK_SECONDS)

    async def aclose(self) -> None:
        """End every watch."""
        self._is_closed = True


if TYPE_CHECKING:
    _proof: EventStream = MemoryEventStream(MemoryJobStore())
