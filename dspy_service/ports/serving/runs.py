"""Runs: their records, their logs and the queue that serving workers take them from."""

from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Protocol

from dspy_service.domain.serving.run import CancelReason, MultitaskStrategy, NewRun, Run, RunOutcome
from dspy_service.domain.serving.run_events import RunEvent, RunFact
from dspy_service.ports.serving.usage import RunUsage


class RunRecords(Protocol):
    """The only truth about a run's state; every verb is one atomic step. Every write of a worker names its fence."""

    async def create(
        self,
        new: NewRun,
        *,
        start: RunFact,
        multitask: MultitaskStrategy = "enqueue",
        max_live_runs: int = 0,
        place: int = 0,
    ) -> tuple[Run, bool]:
        """Record a run with its first event, and queue it.

        When its conversation has a live run: ``reject`` refuses; ``enqueue`` waits behind it; ``interrupt`` asks all
        that are live to end and keeps what they wrote; ``rollback`` does the same and takes their messages back. The
        new run starts when they have ended.

        The runs of a conversation stand in the order of their messages: ``place`` is what ``ConversationStore.add``
        said of them, and must be above that of every run before; 0: there is no message.

        Returns:
            The run, and whether it is new (False: the idempotency key replayed an earlier one).

        Raises:
            ConversationBusyError: ``reject``, and another run is live; it names that one.
            IdempotencyKeyReusedError: the key was used with another body.
            QuotaExceededError: the tenant has ``max_live_runs`` live runs; 0: any number.
            TurnOvertakenError: a message behind this one has its run already; nothing was recorded.
        """
        ...

    async def get(self, run_id: str) -> Run:
        """Return the record, or raise RunNotFoundError."""
        ...

    async def claim(self, run_id: str, *, owner: str, lease_seconds: float) -> Run | None:
        """Take a queued run: fence + 1, ``in_progress``, leased. None when there is nothing to take.

        A run whose conversation has an older live one cannot be taken yet.
        """
        ...

    async def renew(self, run_id: str, *, fence: int, lease_seconds: float) -> bool:
        """Extend the lease; True when somebody asked for an end. Raises LeaseLostError."""
        ...

    async def append(self, run_id: str, *, fence: int, facts: Sequence[RunFact], batch: int) -> int:
        """Number and append events.

        Args:
            run_id: The run.
            fence: Proof of ownership.
            facts: What happened; never ``end``, which the store writes, nor ``snapshot``, which nobody does.
            batch: Rises from 1 with each call of a fence, so that one sent twice counts once.

        Returns:
            The number of the last event.

        A ``UsageCounted`` among them is the run's usage from then on, until ``finish`` tells another.

        Raises:
            LeaseLostError: another fence holds the run, or it has ended; nothing was written.
        """
        ...

    async def finish(self, run_id: str, *, fence: int, outcome: RunOutcome, facts: Sequence[RunFact]) -> Run:
        """Append the last events with ``end`` behind them, and end the run.

        Idempotent: the same fence with the same status answers as the first time. Raises LeaseLostError.
        """
        ...

    async def release(self, run_id: str, *, fence: int) -> Run:
        """Give the run back, as a worker does that must stop.

        Without any output it goes back to its place in the queue. Part of an answer cannot be taken back: that run ends
        as ``failed/worker_lost``, which may be sent anew. One that was asked to end is ``cancelled``. Idempotent like
        ``finish``. Raises LeaseLostError.
        """
        ...

    async def cancel(self, run_id: str, *, reason: CancelReason) -> Run:
        """Ask for an end; a queued run, and one whose lease is over, ends at once. Idempotent.

        The record keeps the first reason, which its worker tells, except that ``rolled_back`` outweighs the others.

        Raises:
            RunNotFoundError: there is no such run.
        """
        ...

    async def delete(self, run_id: str) -> bool:
        """Forget a run that has ended, with its events; what it has cost stays counted.

        Returns:
            Whether it is not there (any more); False: it has not ended.
        """
        ...

    async def reap(self, *, lease_seconds: float, limit: int = 100) -> list[Run]:
        """End runs whose lease is over as ``failed/worker_lost``, with the events that say so.

        Those that were asked to end are ``cancelled``. Nothing is reaped while the server is up for less than
        ``lease_seconds``: after an outage every lease looks expired. Runs that end when their readers leave
        (``on_disconnect: cancel``), and that nobody has attended for the store's grace, are asked to end here too.

        Returns:
            Runs that ended without a worker: these, those that were cancelled in the queue, and those that a new
            message of their conversation ended. Each is told to one caller once.
        """
        ...

    async def lose(self, owners: Sequence[str]) -> None:
        """End the runs of owners that are known to be dead as ``reap`` does, without waiting for their leases.

        Whoever reaps next is told of them. A claim that was on its way when its owner died may arrive later: call it
        again for a while.
        """
        ...

    async def attend(self, run_id: str) -> float:
        """Say that somebody reads it now, and return after how many seconds to say so again: a third of the grace."""
        ...

    async def aclose(self) -> None:
        """Release connections, and end every watch."""
        ...


class RunQueue(Protocol):
    """What serving workers live on."""

    async def next_run(self, *, without: Collection[str] = ()) -> str | None:
        """Return the run that should start next, or None.

        Order: the tenant with the fewest runs in progress first, then the one served longest ago; inside, the oldest.

        Args:
            without: Tenants that are passed over: they have as many runs as they may where this one would start.
        """
        ...

    async def wait_for_run(self, timeout_seconds: float) -> bool:
        """Wait until a run began to wait, or one was asked to end, or the time is up; False for the latter."""
        ...

    async def wished(self, run_ids: Sequence[str]) -> list[str]:
        """Return those that somebody asked to end, or that have ended; one call for all that a worker holds."""
        ...


class RunLog(Protocol):
    """The numbered events of each run.

    A log keeps its newest ten thousand events or so, and all of it for a while after the run's end.
    """

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[RunEvent]:
        """Return events with ``seq > after``, oldest first; those that were trimmed are not here."""
        ...

    async def trimmed(self, run_id: str) -> list[RunEvent]:
        """Return what stands for the events that were trimmed; empty when none were.

        Those that no text replaces (``start``, ``sources``, ``field_done``) as they were, and last a ``snapshot`` with
        the text of every field, whose number is that of the last trimmed event.
        """
        ...

    async def retold(self, run_id: str) -> list[RunEvent]:
        """Return a whole run in few events, once it has ended: as long as the record, and longer than the log.

        ``start``, what no text replaces, a ``snapshot`` of the text of every field, and how it ended; their numbers
        rise. Empty for a run that nobody may ask for again: it has neither an idempotency key nor a memo.
        """
        ...

    def watch(self, run_id: str, *, after: int, quiet_seconds: float) -> AsyncGenerator[list[RunEvent], None]:
        """Yield events with ``seq > after``: first those that are there, in pages, then new ones, until ``end``.

        An empty list says that there is nothing newer: once when the reader has caught up, then whenever nothing came
        for ``quiet_seconds``. Trimmed ones are left out: see ``usecases.serving.watch_run``, which is what to call.

        Raises:
            SlowReaderError: too much waits for this reader; it may come back with the last number it saw.
            StoreUnavailableError: the store was away for too long.
        """
        ...


class RunStore(RunRecords, RunQueue, RunLog, RunUsage, Protocol):
    """All of it, by one adapter."""
