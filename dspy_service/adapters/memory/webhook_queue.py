"""The webhook deliveries in memory."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from dspy_service.adapters.delivery_id import delivery_id_of, parts_of
from dspy_service.adapters.memory.state import MemoryPart, Record, Telling
from dspy_service.domain.webhook import Delivery


class MemoryWebhookQueue(MemoryPart):
    """See the port ``WebhookQueue``."""

    async def due_deliveries(self, *, lease_seconds: float, limit: int = 20) -> list[Delivery]:
        """Return deliveries to try now, longest due first, and lease them."""
        now = self.clock()
        due = sorted((at, record.job.job_id) for at, record in self._untold() if at <= now)
        return [
            self._take(self._records[job_id], until=now + timedelta(seconds=lease_seconds)) for _, job_id in due[:limit]
        ]

    def _untold(self) -> Iterator[tuple[datetime, Record]]:
        """Yield the ends that are still to be told, with the time of the next try."""
        for record in self._records.values():
            job = record.job
            if job.webhook is None or job.completed_at is None or record.ended_at is None:
                continue
            telling = record.telling
            if telling is None or telling.seq != job.last_seq:
                yield record.ended_at, record
            elif telling.next_try_at is not None:
                yield telling.next_try_at, record

    def _take(self, record: Record, *, until: datetime) -> Delivery:
        now, seq = self.clock(), record.job.last_seq
        if record.telling is None or record.telling.seq != seq:
            record.telling = Telling(seq=seq, first_tried_at=now)
        record.telling.is_out, record.telling.next_try_at = True, until
        return Delivery(
            delivery_id=delivery_id_of(record.job.job_id, seq),
            job_id=record.job.job_id,
            tries=record.telling.tries,
            first_tried_seconds_ago=(now - record.telling.first_tried_at).total_seconds(),
        )

    async def delivered(self, delivery_id: str, *, problem: str | None = None) -> None:
        """Forget a delivery."""
        telling = self._telling(delivery_id)
        if telling is not None:
            telling.next_try_at = None
            self._show(delivery_id, problem)

    def _show(self, delivery_id: str, problem: str | None) -> None:
        record = self._records[parts_of(delivery_id)[0]]
        record.job = record.job.evolve(webhook_problem=problem)

    async def put_off(self, delivery_id: str, *, seconds: float, problem: str | None = None) -> None:
        """Try a delivery again in ``seconds``."""
        telling = self._telling(delivery_id)
        if telling is not None and telling.is_out and telling.next_try_at is not None:
            telling.tries += 1
            telling.is_out = False
            telling.next_try_at = self.clock() + timedelta(seconds=seconds)
            self._show(delivery_id, problem)

    def _telling(self, delivery_id: str) -> Telling | None:
        """Return what was done for the end that a delivery tells, unless it is not the job's present end."""
        job_id, seq = parts_of(delivery_id)
        record = self._records.get(job_id)
        if record is None or record.job.completed_at is None or record.job.last_seq != seq:
            return None
        return record.telling if record.telling is not None and record.telling.seq == seq else None
