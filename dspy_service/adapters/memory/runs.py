"""The run store in memory: the same states, fences, numbering and order as on Redis."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from dspy_service.adapters.memory.run_records import MemoryRunRecords
from dspy_service.adapters.memory.run_state import RunRecord
from dspy_service.adapters.run_record import ENDINGS, KEPT_WHEN_TRIMMED, is_retold, retold
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run import RunStatus
from dspy_service.domain.serving.run_events import Ended, RunEvent, Snapshot
from dspy_service.domain.serving.usage import UsageEntry, UsageFigures

if TYPE_CHECKING:
    from dspy_service.ports.serving.runs import RunStore

_PAGE = 250
_LOOK_SECONDS = 0.005
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryRunStore(MemoryRunRecords):
    """Runs of one process; no reader is ever too slow for it."""

    async def next_run(self, *, without: Collection[str] = ()) -> str | None:
        """Return the run that should start next, or None."""
        waiting = [each for each in self._runs.values() if each.is_waiting and each.run.tenant not in without]
        return min(waiting, key=self._order).run.run_id if waiting else None

    def _order(self, record: RunRecord) -> tuple[int, datetime, datetime, str]:
        tenant = record.run.tenant
        working = sum(each.run.status is RunStatus.IN_PROGRESS for each in self._live(tenant))
        return working, self._served.get(tenant, _LONG_AGO), record.run.created_at, record.run.run_id

    async def wait_for_run(self, timeout_seconds: float) -> bool:
        """Wait until a run began to wait, or one was asked to end, or the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._submitted.wait()
        was_set = self._submitted.is_set()
        self._submitted.clear()
        return was_set

    async def wished(self, run_ids: Sequence[str]) -> list[str]:
        """Return those that somebody asked to end, or that have ended."""
        return [each for each in run_ids if not self._goes_on(each)]

    def _goes_on(self, run_id: str) -> bool:
        record = self._runs.get(run_id)
        return record is not None and record.run.status is RunStatus.IN_PROGRESS and not record.run.cancel_wished

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[RunEvent]:
        """Return events with ``seq > after``, oldest first."""
        record = self._readable(run_id)
        return [] if record is None else [event for event in record.events if event.seq > after][:limit]

    async def trimmed(self, run_id: str) -> list[RunEvent]:
        """Return what stands for the events that were trimmed."""
        record = self._readable(run_id)
        return [] if record is None else self._stand_in(record)

    async def retold(self, run_id: str) -> list[RunEvent]:
        """Return a whole run in few events, after its end."""
        record = self._runs.get(run_id)
        if record is None or not is_retold(record.run) or not record.run.status.is_terminal:
            return []
        if self._is_past(record, self._times.record_seconds):
            return []
        kept = [*record.kept, *(each for each in record.events if isinstance(each.fact, KEPT_WHEN_TRIMMED + ENDINGS))]
        trimmed = Snapshot(fields=record.texts.all())
        return retold(kept, FieldTexts.of([trimmed, *(each.fact for each in record.events)]).all())

    def _readable(self, run_id: str) -> RunRecord | None:
        record = self._runs.get(run_id)
        return None if record is None or self._is_past(record, self._times.log_seconds) else record

    async def watch(self, run_id: str, *, after: int, quiet_seconds: float) -> AsyncGenerator[list[RunEvent], None]:
        """Yield what there is, then what comes, until ``end``."""
        clock = asyncio.get_running_loop().time
        position, quiet_until = after, clock()
        while not self._is_closed:
            if page := await self.events(run_id, after=position, limit=_PAGE):
                position = page[-1].seq
                yield page
                if isinstance(page[-1].fact, Ended):
                    return
            elif clock() >= quiet_until:
                yield []
                quiet_until = clock() + quiet_seconds
            else:
                await asyncio.sleep(_LOOK_SECONDS)

    async def usage(self, tenant: str, *, first: date, last: date) -> list[UsageEntry]:
        """Return what was counted from the first day to the last one, both included."""
        return self._book.entries(tenant, first, last, self.clock())

    async def usage_totals(self) -> UsageFigures:
        """Return the counters of all tenants since the store began."""
        return dict(self._book.totals)

    async def aclose(self) -> None:
        """End every watch."""
        self._is_closed = True


if TYPE_CHECKING:
    _proof: RunStore = MemoryRunStore()
