"""The event logs in memory."""

from collections.abc import Sequence
from datetime import timedelta

from dspy_service.adapters.job_record import to_plain
from dspy_service.adapters.memory.state import MemoryPart
from dspy_service.domain.events import Event, NewEvent


class MemoryEventLog(MemoryPart):
    """See the port ``EventLog``."""

    async def append(
        self,
        job_id: str,
        *,
        fence: int,
        events: Sequence[NewEvent],
        latest_metrics: dict[str, object] | None = None,
        message: str | None = None,
        eta_seconds: float | None = None,
        batch: str | None = None,
    ) -> int:
        """Append events and refresh the record's own view of them."""
        record = self._held(job_id, fence)
        if batch is not None and record.batch == batch:
            return record.job.last_seq
        record.batch = batch or record.batch
        changes: dict[str, object] = {}
        if latest_metrics is not None:
            changes["latest_metrics"] = to_plain(latest_metrics)
        if message is not None:
            changes["message"] = message
        if eta_seconds is not None:
            changes["eta_at"] = self._stamp(record) + timedelta(seconds=eta_seconds)
        record.job = record.job.evolve(**changes)
        return self._append(record, events)

    async def events(self, job_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events with ``seq > after``, oldest first."""
        record = self._records.get(job_id)
        newer = [event for event in record.events if event.seq > after] if record is not None else []
        return newer[:limit]
