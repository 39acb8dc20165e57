"""Tells a run as it happens: what there was, what comes, until its end."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

from dspy_service.domain.serving.coalescing import coalesced
from dspy_service.domain.serving.errors import RunLogGoneError
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import Ended, RunEvent
from dspy_service.ports.serving.runs import RunStore

_BEHIND = 16  # events at once: two batches of a worker


async def watch_run(
    run: Run, *, after: int = 0, quiet_seconds: float, runs: RunStore
) -> AsyncGenerator[list[RunEvent], None]:
    """Tell every event with ``seq > after`` once and in order, as it is written; ``end`` is the last one.

    To a reader who is behind, neighbouring tokens of one field may be told as one, under the number of the last.

    Where the log was trimmed, what stands for it comes first: some events as they were, then a ``snapshot`` of all
    texts, under the number of the last trimmed event. Where the whole log is gone, who has seen nothing is told the run
    in few events, if the store keeps them. Whoever has seen ``end`` is told nothing. As long as somebody takes what is
    told here, the run does not end for want of a reader. Without an ``end`` this stops only when the process does.

    Args:
        run: The record, as it was when the reader came.
        after: The last number that the reader has seen. One beyond the run's newest is taken for that: the store has
            lost what the reader saw, and what comes now must not be kept from it.
        quiet_seconds: After so long without news, an empty list is told.
        runs: Where it is written.

    Raises:
        RunLogGoneError: the run ended so long ago that its events are not kept any more.
        RunNotFoundError: likewise its record.
        SlowReaderError: the reader has fallen behind; it may come back with the last number.
        StoreUnavailableError: the store was away for too long; likewise.
    """
    position = min(after, run.last_seq)
    if run.status.is_terminal and position == run.last_seq:
        return
    reader = _Reader(run, position, runs=runs)
    clock = asyncio.get_running_loop().time
    attend_seconds = await reader.attend()
    attend_at, quiet_until = clock() + attend_seconds, clock() + quiet_seconds
    pause_seconds = min(quiet_seconds, attend_seconds)
    async with aclosing(runs.watch(run.run_id, after=position, quiet_seconds=pause_seconds)) as news:
        async for events in news:
            if clock() >= attend_at:
                await reader.attend()
                attend_at = clock() + attend_seconds
            is_quiet = clock() >= quiet_until
            told = await reader.follow(events) if events else []
            if not events and (is_quiet or reader.misses_something) and (whole := await reader.look_for_loss()):
                yield whole
                return
            if told or is_quiet:
                yield told
                quiet_until = clock() + quiet_seconds


class _Reader:
    """How far one reader has come."""

    def __init__(self, run: Run, position: int, *, runs: RunStore) -> None:
        self._run = run
        self._position = position
        self._runs = runs

    async def attend(self) -> float:
        """Vouch for the reader of a run that ends without any; return after how many seconds to do so again."""
        return await self._runs.attend(self._run.run_id) if self._run.on_disconnect == "cancel" else math.inf

    async def follow(self, events: list[RunEvent]) -> list[RunEvent]:
        """Return these, and before them what stands for those that are missing."""
        before: list[RunEvent] = []
        if events[0].seq > self._position + 1:
            before = [event for event in await self._runs.trimmed(self._run.run_id) if event.seq > self._position]
            if not before:
                raise RunLogGoneError(self._run.run_id)
            self._position = before[-1].seq
        told = [*before, *(event for event in events if event.seq > self._position)]
        self._position = told[-1].seq
        return coalesced(told) if len(told) > _BEHIND else told

    @property
    def misses_something(self) -> bool:
        """Whether events that were there when the reader came have not been told."""
        return self._position < self._run.last_seq

    async def look_for_loss(self) -> list[RunEvent]:
        """Make sure that the rest will come: the log of a run that has ended holds its end.

        Returns:
            The whole run in few events, where its log is gone and the reader has seen nothing of it; else nothing.

        Raises:
            RunLogGoneError: the rest will not come.
        """
        run = await self._runs.get(self._run.run_id)
        if run.status.is_terminal and self._position < run.last_seq:
            last = await self._runs.events(run.run_id, after=self._position)
            if not last or not isinstance(last[-1].fact, Ended):
                whole = [] if self._position else await self._runs.retold(run.run_id)
                if not whole:
                    raise RunLogGoneError(run.run_id)
                return whole
        return []
