"""Reads one run: its record, a page of its events, or its whole end."""

from contextlib import aclosing
from dataclasses import dataclass

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.serving.errors import RunFailedError, RunLogGoneError, RunNotFoundError
from dspy_service.domain.serving.run import ErrorCode, Run, RunError, RunStatus
from dspy_service.domain.serving.run_events import Cancelled, Ended, Failed, Predicted, RunEvent
from dspy_service.ports.serving.runs import RunLog, RunRecords, RunStore
from dspy_service.usecases.serving.watch_run import watch_run

_QUIET_SECONDS = 10.0
_LAST_EVENTS = 16
"""Among which ``final`` stands: what is written behind it is the end, and what the run has cost."""


@dataclass(frozen=True)
class RunEnding:
    """How a run ended, as its events tell."""

    status: RunStatus
    predicted: Predicted | None = None
    error: RunError | None = None
    cancelled: Cancelled | None = None

    def prediction_of(self, run_id: str) -> Predicted:
        """Return what was predicted. Raises RunFailedError where there is nothing."""
        if self.predicted is not None and self.status in {RunStatus.COMPLETED, RunStatus.INCOMPLETE}:
            return self.predicted
        if self.error is not None:
            raise RunFailedError(run_id, self.error)
        raise RunFailedError(run_id, self._without_answer())

    def _without_answer(self) -> RunError:
        reason = None if self.cancelled is None else self.cancelled.reason
        if reason == "deadline":
            message = "Its `deadline_seconds` were over before it had an answer; allow more of them."
            return RunError(code="deadline_exceeded", message=message)
        code: ErrorCode = "cancelled" if self.status is RunStatus.CANCELLED else "internal"
        why = "" if reason is None else f" ({reason})"
        return RunError(code=code, message=f"It was ended{why} before it had an answer.")


async def find_run(run_id: str, *, tenant: str, runs: RunRecords) -> Run:
    """Return the record. Raises RunNotFoundError, for another tenant's too."""
    run = await runs.get(run_id)
    if run.tenant != tenant:
        raise RunNotFoundError(run_id)
    return run


async def await_run(run: Run, *, runs: RunStore) -> RunEnding:
    """Read a run to its end, which may have been long ago.

    As long as somebody waits here, the run does not end for want of a reader.

    Raises:
        RunLogGoneError: it ended so long ago that its events are not kept any more.
        SlowReaderError: it cannot be followed; ask for it by its id.
        StoreUnavailableError: likewise, also because this process stops.
    """
    told: list[RunEvent] = []
    async with aclosing(watch_run(run, after=0, quiet_seconds=_QUIET_SECONDS, runs=runs)) as story:
        async for events in story:
            told += [each for each in events if isinstance(each.fact, Predicted | Failed | Cancelled | Ended)]
    if not told or not isinstance(told[-1].fact, Ended):
        raise StoreUnavailableError("log of the run", reason="this process stops")
    return ending_of(told)


async def read_ending(run: Run, *, runs: RunLog) -> RunEnding:
    """Return how a run ended, or as far as it has come; without a prediction once nothing is kept of its events."""
    if not run.status.is_terminal:
        return RunEnding(run.status)
    last = await runs.events(run.run_id, after=max(0, run.last_seq - _LAST_EVENTS)) or await runs.retold(run.run_id)
    return ending_of(last) if last else RunEnding(run.status, error=run.error)


async def require_log(run: Run, *, after: int, runs: RunLog) -> None:
    """Make sure that a reader can still be told what it has not seen. Raises RunLogGoneError."""
    if run.status.is_terminal and after < run.last_seq and not await runs.events(run.run_id, after=after, limit=1):
        if after == 0 and await runs.retold(run.run_id):
            return
        raise RunLogGoneError(run.run_id)


async def read_run_page(run: Run, *, after: int, limit: int, runs: RunLog) -> tuple[list[RunEvent], bool]:
    """Return events with ``seq > after``, oldest first, and whether there are more now.

    Where the log was trimmed, what stands for it comes first, whatever ``limit`` says; where it is gone, the whole run
    is told in few events.

    Raises:
        RunLogGoneError: they are not kept any more.
    """
    await require_log(run, after=after, runs=runs)
    events = await runs.events(run.run_id, after=after, limit=limit + 1)
    if not events and after == 0:
        return await runs.retold(run.run_id), False
    found, has_more = events[:limit], len(events) > limit
    if found and found[0].seq > after + 1:
        found = [*(each for each in await runs.trimmed(run.run_id) if each.seq > after), *found]
    return found, has_more


def ending_of(events: list[RunEvent]) -> RunEnding:
    """Fold the last events of a run."""
    facts = [event.fact for event in events]
    predicted = next((fact for fact in reversed(facts) if isinstance(fact, Predicted)), None)
    failed = next((fact for fact in reversed(facts) if isinstance(fact, Failed)), None)
    cancelled = next((fact for fact in reversed(facts) if isinstance(fact, Cancelled)), None)
    ended = next((fact for fact in reversed(facts) if isinstance(fact, Ended)), None)
    return RunEnding(
        status=RunStatus.FAILED if ended is None else ended.status,
        predicted=predicted,
        error=None if failed is None else failed.error,
        cancelled=cancelled,
    )
