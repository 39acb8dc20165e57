"""What all parts of the run store in memory share: the records, their clock, and what an end takes with it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dspy_service.adapters.memory.usage_book import UsageBook
from dspy_service.adapters.run_record import (
    KEPT_EVENTS,
    KEPT_WHEN_TRIMMED,
    TRIMMED_AT_ONCE,
    WORKER_LOST,
    RunTimes,
    shows_output,
)
from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.serving.errors import RunNotFoundError
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run import CancelReason, Run, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import Cancelled, Ended, Failed, RunEvent, RunFact, Snapshot

Talk = tuple[str, str]
"""Tenant and conversation."""


@dataclass
class RunRecord:
    """One run with everything that the store keeps beside its record."""

    run: Run
    stamped_at: datetime
    unread_until: datetime | None = None
    """When it is asked to end, unless somebody reads it."""
    leased_until: datetime | None = None
    owner: str | None = None
    """Who has claimed it last."""
    is_waiting: bool = False
    batch: int = 0
    events: list[RunEvent] = field(default_factory=list)
    kept: list[RunEvent] = field(default_factory=list)
    """What was trimmed, and is no text."""
    trimmed: RunEvent | None = None
    """The last event that was trimmed."""
    texts: FieldTexts = field(default_factory=FieldTexts)

    @property
    def talk(self) -> Talk | None:
        """The conversation that it belongs to."""
        return None if self.run.conversation_id is None else (self.run.tenant, self.run.conversation_id)


class MemoryRunPart:
    """A part of the run store; ``clock`` may be any function that returns UTC times, so that tests can move time."""

    def __init__(
        self, times: RunTimes | None = None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.clock = clock
        self.started_at = clock() - timedelta(days=1)
        """When the store came up; tests may set it."""
        self._times = times or RunTimes()
        self._runs: dict[str, RunRecord] = {}
        self._talks: dict[Talk, list[str]] = {}
        """The live runs of each conversation, oldest first."""
        self._places: dict[Talk, int] = {}
        """Of the messages of each conversation's newest run."""
        self._served: dict[str, datetime] = {}
        self._submits: dict[tuple[str, str], tuple[str, str, datetime]] = {}
        self._untold: list[str] = []
        """Runs that ended without a worker, for whoever reaps next."""
        self._book = UsageBook(self._times.usage_seconds)
        self._submitted = asyncio.Event()
        self._is_closed = False

    def _record(self, run_id: str) -> RunRecord:
        record = self._runs.get(run_id)
        if record is None or self._is_past(record, self._times.record_seconds):
            raise RunNotFoundError(run_id)
        return record

    def _is_past(self, record: RunRecord, seconds: float) -> bool:
        ended_at = record.run.completed_at
        return ended_at is not None and self.clock() >= ended_at + timedelta(seconds=seconds)

    def _held(self, run_id: str, fence: int) -> RunRecord:
        record = self._runs.get(run_id)
        if record is None or record.run.fence != fence or record.run.status is not RunStatus.IN_PROGRESS:
            raise LeaseLostError(run_id, fence)
        return record

    def _live(self, tenant: str) -> list[RunRecord]:
        return [each for each in self._runs.values() if each.run.tenant == tenant and not each.run.status.is_terminal]

    def _write(self, record: RunRecord, facts: Sequence[RunFact]) -> datetime:
        now = record.stamped_at = max(record.stamped_at, self.clock())
        changes: dict[str, object] = {}
        if shows_output(facts) and record.run.first_token_at is None:
            changes["first_token_at"] = now
        first = record.run.last_seq + 1
        record.events += [RunEvent(seq=seq, timestamp=now, fact=fact) for seq, fact in enumerate(facts, start=first)]
        record.run = record.run.model_copy(update=changes | {"last_seq": record.run.last_seq + len(facts)})
        while len(record.events) >= KEPT_EVENTS + TRIMMED_AT_ONCE:
            self._trim(record)
        return now

    def _trim(self, record: RunRecord) -> None:
        leaving, record.events = record.events[:TRIMMED_AT_ONCE], record.events[TRIMMED_AT_ONCE:]
        record.kept += [event for event in leaving if isinstance(event.fact, KEPT_WHEN_TRIMMED)]
        record.trimmed = leaving[-1]
        for event in leaving:
            record.texts.add(event.fact)

    def _stand_in(self, record: RunRecord) -> list[RunEvent]:
        if record.trimmed is None:
            return []
        snapshot = Snapshot(fields=record.texts.all())
        return [*record.kept, record.trimmed.model_copy(update={"fact": snapshot})]

    def _begin_to_wait(self, record: RunRecord) -> None:
        record.is_waiting = True
        self._submitted.set()

    def _end(self, record: RunRecord, outcome: RunOutcome, facts: Sequence[RunFact]) -> None:
        """End a run: these facts, then ``end``; its conversation's next run begins to wait."""
        now = self._write(record, [*facts, Ended(status=outcome.status)])
        told = {name: value for name, value in outcome if value is not None}
        record.run = record.run.model_copy(update={**told, "completed_at": now})
        self._book.count(record.run, now)
        record.leased_until, record.is_waiting, record.unread_until = None, False, None
        if record.talk is not None:
            self._pass_on(record.talk, record.run.run_id)

    def _pass_on(self, talk: Talk, run_id: str) -> None:
        self._talks[talk].remove(run_id)
        if not self._talks[talk]:
            del self._talks[talk]
            return
        heir = self._runs[self._talks[talk][0]]
        if heir.run.status is RunStatus.QUEUED:
            self._begin_to_wait(heir)

    def _end_without_worker(self, record: RunRecord) -> None:
        """End a run whose worker, if it has one, writes nothing more: as it was asked to, or as lost."""
        record.run = record.run.model_copy(update={"fence": record.run.fence + 1})
        self._untold.append(record.run.run_id)
        self._end_as_asked_or_lost(record)

    def _end_as_asked_or_lost(self, record: RunRecord) -> None:
        reason = record.run.cancel_reason
        if reason is not None:
            self._end(record, RunOutcome(status=RunStatus.CANCELLED), [Cancelled(reason=reason)])
            return
        failed = Failed(error=WORKER_LOST, partial=record.run.first_token_at is not None)
        self._end(record, RunOutcome(status=RunStatus.FAILED, error=WORKER_LOST), [failed])

    def _ask_to_end(self, record: RunRecord, reason: CancelReason) -> None:
        """Let a live run end: at once when nobody works at it, else by its worker."""
        if record.run.cancel_reason is None or reason == "rolled_back":
            record.run = record.run.model_copy(update={"cancel_reason": reason})
        if record.leased_until is None or record.leased_until <= self.clock():
            self._end_without_worker(record)
        else:
            record.unread_until = None
            self._submitted.set()
