"""The runs on Redis: their records, the queue that workers take them from, and their logs."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.event_stream import LogKind, RedisLogStream
from dspy_service.adapters.redis.key_names import (
    RUN_EVENTS,
    RUNS_WAITING,
    run_key,
    run_log_key,
    run_short_key,
)
from dspy_service.adapters.redis.run_entries import retold_from, run_event_from_entry, trimmed_from
from dspy_service.adapters.redis.run_records import RedisRunRecords
from dspy_service.adapters.redis.run_usage import RedisRunUsage
from dspy_service.adapters.run_record import TRIMMED_AT_ONCE, RunTimes
from dspy_service.domain.serving.run_events import Ended, RunEvent

if TYPE_CHECKING:
    from dspy_service.ports.serving.runs import RunStore

_PAGE = 1000  # events in one reply: about 0.2 MB


class RedisRunQueue(RedisRunRecords):
    """See the port ``RunQueue``."""

    async def next_run(self, *, without: Collection[str] = ()) -> str | None:
        """Return the run that should start next, or None."""
        run_id: str | None = await self._client.run("runs/next_run", keys=[RUNS_WAITING], args=tuple(without))
        return run_id

    async def wait_for_run(self, timeout_seconds: float) -> bool:
        """Wait until a run began to wait, or one was asked to end, or the time is up."""
        return await self._submits.wait(timeout_seconds)

    async def wished(self, run_ids: Sequence[str]) -> list[str]:
        """Return those that somebody asked to end, or that have ended."""
        if not run_ids:
            return []
        found: list[str] = await self._client.run("runs/wished", keys=[run_key(each) for each in run_ids], args=run_ids)
        return found


class RedisRunStore(RedisRunQueue, RedisRunUsage):
    """Runs in the Redis (or Valkey) at ``url``: ``redis://``, ``rediss://`` or ``unix://``.

    Args:
        url: Of the Redis.
        times: How long things wait, and are kept.
        window: Events of each watched run that are kept for readers; who lags further behind is sent away.
        patience_seconds: How long the store may be away before the readers are sent away.
    """

    def __init__(
        self, url: str, times: RunTimes | None = None, *, window: int = 1024, patience_seconds: float = 60.0
    ) -> None:
        super().__init__(RedisClient(url), times or RunTimes())
        kind = LogKind(RUN_EVENTS, run_log_key, run_event_from_entry)
        self._stream = RedisLogStream(url, kind, window=window, patience_seconds=patience_seconds)

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[RunEvent]:
        """Return events with ``seq > after``, oldest first."""
        found: list[RunEvent] = []
        while limit is None or len(found) < limit:
            count = _PAGE if limit is None else min(_PAGE, limit - len(found))
            start = f"{(found[-1].seq if found else max(0, after)) + 1}-0"
            entries = await self._client.command("XRANGE", run_log_key(run_id), start, "+", "COUNT", count)
            found += [run_event_from_entry(entry_id, fields) for entry_id, fields in entries]
            if len(entries) < count:
                break
        return found

    async def trimmed(self, run_id: str) -> list[RunEvent]:
        """Return what stands for the events that were trimmed."""
        base = int(await self._client.command("HGET", run_key(run_id), "base") or 0)
        if not base or not await self._client.command("EXISTS", run_log_key(run_id)):
            return []  # also when it has gone with the rest of the log
        pieces = await self._client.command("LRANGE", run_short_key(run_id), 0, base // TRIMMED_AT_ONCE - 1)
        return trimmed_from(pieces)

    async def retold(self, run_id: str) -> list[RunEvent]:
        """Return a whole run in few events, after its end."""
        return retold_from(await self._client.command("LRANGE", run_short_key(run_id), 0, -1))

    async def watch(self, run_id: str, *, after: int, quiet_seconds: float) -> AsyncGenerator[list[RunEvent], None]:
        """Yield what there is, then what comes, until ``end``."""
        async with aclosing(self._stream.watch(run_id, after=after, quiet_seconds=quiet_seconds)) as news:
            async for events in news:
                yield events
                if events and isinstance(events[-1].fact, Ended):
                    return

    async def aclose(self) -> None:
        """End every watch, and close every connection."""
        await self._stream.aclose()
        await self._submits.aclose()
        await self._client.aclose()


if TYPE_CHECKING:
    _proof: RunStore = RedisRunStore("redis://")
