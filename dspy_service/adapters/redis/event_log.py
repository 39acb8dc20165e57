"""The event logs on Redis: one stream for each job, whose entry ``<seq>-0`` is event ``seq``."""

from collections.abc import Sequence

from dspy_service.adapters.job_record import to_json
from dspy_service.adapters.redis.key_names import job_key, log_key
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.adapters.redis.records import event_from_entry, to_micros
from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.events import Event, NewEvent

_PAGE = 1000  # events in one reply: about 0.2 MB


class RedisEventLog(RedisPart):
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
        changes: list[str] = []
        if latest_metrics is not None:
            changes += ["metrics", to_json(latest_metrics)]
        if message is not None:
            changes += ["message", message]
        eta = "" if eta_seconds is None else to_micros(eta_seconds)
        pairs = [text for event in events for text in (event.type.value, to_json(event.data))]
        args = (job_id, self._proof(job_id, fence), batch or "", eta, len(changes) // 2, *changes, *pairs)
        last_seq = await self._client.run("append", keys=[job_key(job_id)], args=args)
        if last_seq is None:
            raise LeaseLostError(job_id, fence)
        return int(last_seq)

    async def events(self, job_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events with ``seq > after``, oldest first."""
        found: list[Event] = []
        while limit is None or len(found) < limit:
            count = _PAGE if limit is None else min(_PAGE, limit - len(found))
            start = f"{(found[-1].seq if found else max(0, after)) + 1}-0"
            entries = await self._client.command("XRANGE", log_key(job_id), start, "+", "COUNT", count)
            found += [event_from_entry(entry_id, fields) for entry_id, fields in entries]
            if len(entries) < count:
                break
        return found
