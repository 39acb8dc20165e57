"""The records of runs in memory: creation, claims, and what the holder of a claim writes."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from dspy_service.adapters.memory.run_state import MemoryRunPart, RunRecord
from dspy_service.adapters.run_record import IDEMPOTENCY_SECONDS, require_end, require_writable, usage_told
from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import IdempotencyKeyReusedError, LeaseLostError
from dspy_service.domain.serving.errors import ConversationBusyError, TurnOvertakenError
from dspy_service.domain.serving.run import CancelReason, MultitaskStrategy, NewRun, Run, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import RunFact

_REASONS: dict[MultitaskStrategy, CancelReason] = {"interrupt": "interrupted", "rollback": "rolled_back"}
_GIVEN_BACK = frozenset({RunStatus.QUEUED, RunStatus.FAILED, RunStatus.CANCELLED})


class MemoryRunRecords(MemoryRunPart):
    """See the port ``RunRecords``."""

    async def create(
        self,
        new: NewRun,
        *,
        start: RunFact,
        multitask: MultitaskStrategy = "enqueue",
        max_live_runs: int = 0,
        place: int = 0,
    ) -> tuple[Run, bool]:
        """Record a run with its first event, and queue it."""
        now = self.clock()
        earlier = self._earlier(new, now)
        if earlier is not None:
            return earlier, earlier.run_id == new.run_id
        ahead = self._ahead(new, multitask)
        if 0 < max_live_runs <= len(self._live(new.tenant)):
            raise QuotaExceededError(max_live_runs, what="runs")
        self._take_place(new, place)
        record = self._add(new, now)
        self._write(record, [start])
        if multitask in _REASONS:
            for other in reversed(ahead):  # the newest first, so that none of them begins
                self._ask_to_end(other, _REASONS[multitask])
        if record.talk is None or self._talks[record.talk][0] == new.run_id:
            self._begin_to_wait(record)
        return record.run, True

    def _take_place(self, new: NewRun, place: int) -> None:
        """Refuse a run whose message stands before that of another."""
        if new.conversation_id is None or place == 0:
            return
        talk = (new.tenant, new.conversation_id)
        if place <= self._places.get(talk, 0):
            raise TurnOvertakenError(new.conversation_id)
        self._places[talk] = place

    def _add(self, new: NewRun, now: datetime) -> RunRecord:
        record = self._runs[new.run_id] = RunRecord(run=Run(**dict(new), created_at=now), stamped_at=now)
        if new.on_disconnect == "cancel":
            record.unread_until = now + timedelta(seconds=self._times.grace_seconds)
        if new.idempotency_key is not None:
            expires_at = now + timedelta(seconds=IDEMPOTENCY_SECONDS)
            self._submits[new.tenant, new.idempotency_key] = (new.run_id, new.body_sha256, expires_at)
        if record.talk is not None:
            self._talks.setdefault(record.talk, []).append(new.run_id)
        return record

    def _ahead(self, new: NewRun, multitask: MultitaskStrategy) -> list[RunRecord]:
        """Return the live runs of the conversation, oldest first, unless they forbid a new one."""
        ids = self._talks.get((new.tenant, new.conversation_id), ()) if new.conversation_id is not None else ()
        if ids and multitask == "reject":
            raise ConversationBusyError(new.conversation_id or "", ids[0])
        return [self._runs[run_id] for run_id in ids]

    def _earlier(self, new: NewRun, now: datetime) -> Run | None:
        """Return the run that an idempotency key stands for, or the very same."""
        submit = self._submits.get((new.tenant, new.idempotency_key or ""))
        if submit is not None and submit[2] > now and submit[0] != new.run_id and submit[0] in self._runs:
            if submit[1] != new.body_sha256:
                raise IdempotencyKeyReusedError(new.idempotency_key or "")
            return self._runs[submit[0]].run
        return self._runs[new.run_id].run if new.run_id in self._runs else None

    async def get(self, run_id: str) -> Run:
        """Return the record, or raise RunNotFoundError."""
        return self._record(run_id).run

    async def claim(self, run_id: str, *, owner: str, lease_seconds: float) -> Run | None:
        """Take a queued run, or return None."""
        record = self._runs.get(run_id)
        if record is None or not record.is_waiting:
            return None
        now = record.stamped_at = max(record.stamped_at, self.clock())
        changes = {"status": RunStatus.IN_PROGRESS, "fence": record.run.fence + 1}
        record.run = record.run.model_copy(update={**changes, "started_at": record.run.started_at or now})
        record.owner, record.is_waiting, record.batch = owner, False, 0
        record.leased_until = self.clock() + timedelta(seconds=lease_seconds)
        self._served[record.run.tenant] = now
        return record.run

    async def renew(self, run_id: str, *, fence: int, lease_seconds: float) -> bool:
        """Extend the lease; True when somebody asked for an end."""
        record = self._held(run_id, fence)
        record.leased_until = self.clock() + timedelta(seconds=lease_seconds)
        return record.run.cancel_wished

    async def append(self, run_id: str, *, fence: int, facts: Sequence[RunFact], batch: int) -> int:
        """Number and append events."""
        require_writable(facts)
        record = self._held(run_id, fence)
        if batch > record.batch:
            record.batch = batch
            record.run = record.run.model_copy(update={"usage": usage_told(facts) or record.run.usage})
            self._write(record, facts)
        return record.run.last_seq

    async def finish(self, run_id: str, *, fence: int, outcome: RunOutcome, facts: Sequence[RunFact]) -> Run:
        """Append the last events with ``end`` behind them, and end the run."""
        require_end(outcome, facts)
        record = self._runs.get(run_id)
        if record is not None and record.run.fence == fence and record.run.status is outcome.status:
            return record.run
        record = self._held(run_id, fence)
        self._end(record, outcome, facts)
        return record.run

    async def release(self, run_id: str, *, fence: int) -> Run:
        """Give the run back."""
        record = self._runs.get(run_id)
        if record is None or record.run.fence != fence:
            raise LeaseLostError(run_id, fence)
        if record.run.status in _GIVEN_BACK:
            return record.run
        record = self._held(run_id, fence)
        if record.run.cancel_wished or record.run.first_token_at is not None:
            if record.run.cancel_wished:
                self._untold.append(run_id)  # its worker knows of no end
            self._end_as_asked_or_lost(record)
        else:
            record.run = record.run.model_copy(update={"status": RunStatus.QUEUED})
            record.leased_until = None
            self._begin_to_wait(record)
        return record.run

    async def cancel(self, run_id: str, *, reason: CancelReason) -> Run:
        """Ask for an end."""
        record = self._record(run_id)
        if not record.run.status.is_terminal:
            self._ask_to_end(record, reason)
        return record.run

    async def delete(self, run_id: str) -> bool:
        """Forget a run that has ended."""
        record = self._runs.get(run_id)
        if record is not None and not record.run.status.is_terminal:
            return False
        self._runs.pop(run_id, None)
        self._untold = [each for each in self._untold if each != run_id]
        return True

    async def reap(self, *, lease_seconds: float, limit: int = 100) -> list[Run]:
        """End runs whose lease is over, or whose readers have gone."""
        now = self.clock()
        if (now - self.started_at).total_seconds() < lease_seconds:
            return []
        for record in self._due(lambda each: each.leased_until)[:limit]:
            self._end_without_worker(record)
        for record in self._due(lambda each: each.unread_until)[:limit]:
            record.unread_until = None
            self._ask_to_end(record, "disconnected")
        told, self._untold = self._untold[:limit], self._untold[limit:]
        return [self._runs[run_id].run for run_id in told]

    async def lose(self, owners: Sequence[str]) -> None:
        """End the runs of owners that are known to be dead."""
        for record in list(self._runs.values()):
            if record.leased_until is not None and record.owner in owners:
                self._end_without_worker(record)

    async def attend(self, run_id: str) -> float:
        """Say that somebody reads it now, and return after how many seconds to say so again."""
        record = self._runs.get(run_id)
        if record is not None and record.unread_until is not None:
            record.unread_until = max(record.unread_until, self.clock() + timedelta(seconds=self._times.grace_seconds))
        return self._times.attend_seconds

    def _due(self, when: Callable[[RunRecord], datetime | None]) -> list[RunRecord]:
        """Return those whose time is over, the longest ago first."""
        timed = [(at, run_id) for run_id, record in self._runs.items() if (at := when(record)) is not None]
        return [self._runs[run_id] for at, run_id in sorted(timed) if at <= self.clock()]
