"""Takes a runner's events, in order, to the job store in batches."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pydantic_core

from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import Claim
from dspy_service.domain.store_outage import repeat_while_away
from dspy_service.ports import JobStore

FLUSH_SECONDS: Final = 0.1
MAX_BATCH_EVENTS: Final = 500
MAX_METRICS: Final = 100
MAX_METRIC_BYTES: Final = 2048
MAX_BACKLOG_EVENTS: Final = 5_000
MAX_BACKLOG_BYTES: Final = 8 << 20
_ADVANCE: Final = None
"""Stands in the queue where the job became ``running``."""


class EventFeed:
    """The single writer of a job's events: one append per batch, whatever the history.

    Args:
        claim: Whose fence every write names.
        jobs: Where they go.
        on_room: Called after a batch was written; reading may go on.
    """

    def __init__(self, claim: Claim, jobs: JobStore, *, on_room: Callable[[], None] = lambda: None) -> None:
        self._job_id = claim.job.job_id
        self._fence = claim.fence
        self._jobs = jobs
        self.on_room = on_room
        self._queue: list[tuple[NewEvent, int] | None] = []
        self._backlog_bytes = 0
        self._metrics: dict[str, Any] = {}
        self._metrics_changed = False
        self._message: str | None = None
        self._progress_name = ""
        self._eta_seconds: float | None = None
        self._wake = asyncio.Event()
        self._has_room = asyncio.Event()
        self._batches = 0
        self._closed = False

    def add(self, event: NewEvent, *, size: int = 0, eta_seconds: float | None = None) -> None:
        """Queue an event; ``size`` is about its bytes, ``eta_seconds`` counts from now."""
        self._queue.append((event, size))
        self._backlog_bytes += size
        if event.type is EventType.PROGRESS:
            self._note_progress(event.data)
        if eta_seconds is not None:
            self._eta_seconds = eta_seconds
        if len(self._queue) >= MAX_BATCH_EVENTS:
            self._wake.set()

    def say(self, message: str | None) -> None:
        """Let the job's ``message`` say something else than the newest progress event's name; None: that again."""
        self._message = self._progress_name if message is None else message

    def advance(self) -> None:
        """Queue the step from ``validating`` to ``running``, after what was queued before."""
        self._queue.append(_ADVANCE)

    async def room(self) -> None:
        """Wait until it is not full."""
        while self.is_full:
            self._has_room.clear()
            await self._has_room.wait()

    @property
    def is_full(self) -> bool:
        """Whether the runner must be held back until the store has caught up."""
        return len(self._queue) > MAX_BACKLOG_EVENTS or self._backlog_bytes > MAX_BACKLOG_BYTES

    def close(self) -> None:
        """Let ``run`` end once everything is written; add nothing more."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Write batches until closed; a cancel in the middle of a write leaves open whether it took effect.

        Raises:
            LeaseLostError: another worker owns the job; nothing more was written.
        """
        while not self._closed:
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass  # the usual case: time to write what there is
            self._wake.clear()
            await self.flush()
        await self.flush()

    async def flush(self) -> None:
        """Write everything that is queued; raises as ``run`` does."""
        while self._queue:
            batch = self._next_batch()
            if batch:
                await self._append([event for event, _ in batch])
                self._backlog_bytes -= sum(size for _, size in batch)
                del self._queue[: len(batch)]
            else:
                await repeat_while_away(lambda: self._jobs.advance(self._job_id, fence=self._fence))
                del self._queue[0]
            self._has_room.set()
            self.on_room()
        if self._message is not None:
            await self._append([])

    def _next_batch(self) -> list[tuple[NewEvent, int]]:
        batch: list[tuple[NewEvent, int]] = []
        for item in self._queue[:MAX_BATCH_EVENTS]:
            if item is _ADVANCE:
                break
            batch.append(item)
        return batch

    async def _append(self, events: list[NewEvent]) -> None:
        metrics = dict(self._metrics) if self._metrics_changed else None
        message, eta_seconds = self._message, self._eta_seconds
        self._metrics_changed, self._message, self._eta_seconds = False, None, None
        self._batches += 1
        name = str(self._batches)  # the same when it is tried again
        await repeat_while_away(
            lambda: self._jobs.append(
                self._job_id,
                fence=self._fence,
                events=events,
                latest_metrics=metrics,
                message=message,
                eta_seconds=eta_seconds,
                batch=name,
            )
        )

    def _note_progress(self, data: dict[str, Any]) -> None:
        self._message = self._progress_name = str(data["event"])
        metrics = data.get("metrics")
        if not isinstance(metrics, dict):
            return
        for name, value in metrics.items():
            known = name in self._metrics or len(self._metrics) < MAX_METRICS
            if known and len(pydantic_core.to_json(value)) <= MAX_METRIC_BYTES:
                self._metrics[name] = value
                self._metrics_changed = True
