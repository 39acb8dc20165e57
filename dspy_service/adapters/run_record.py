"""What every run store writes and says: the facts that it adds by itself, and how long it keeps things."""

from collections.abc import Sequence
from dataclasses import dataclass

from dspy_service.domain.result import Usage
from dspy_service.domain.serving.run import NewRun, RunError, RunOutcome
from dspy_service.domain.serving.run_events import (
    OUTPUTS,
    Cancelled,
    Ended,
    Failed,
    FieldDone,
    Predicted,
    RunEvent,
    RunFact,
    Snapshot,
    SourcesFound,
    Started,
    TextReplaced,
    UsageCounted,
)

IDEMPOTENCY_SECONDS = 24 * 3600
RECORD_SECONDS = 24 * 3600
USAGE_SECONDS = 400 * 24 * 3600

KEPT_EVENTS = 10_000
"""Of a log: an hour of a talkative answer."""
TRIMMED_AT_ONCE = 256
KEPT_WHEN_TRIMMED = (Started, SourcesFound, FieldDone)
"""Facts that no text replaces."""
ENDINGS = (Predicted, Failed, Cancelled, Ended)
"""Facts that tell how a run ended."""

WORKER_LOST = RunError(
    code="worker_lost", message="The worker that wrote this answer has gone; send the request anew.", retryable=True
)


@dataclass(frozen=True)
class RunTimes:
    """How long a run store waits, and keeps."""

    log_seconds: float = 900.0
    """Of the events, from the end of the run on."""
    record_seconds: float = RECORD_SECONDS
    """Likewise of the record."""
    usage_seconds: float = USAGE_SECONDS
    """Of what a day's runs cost, from the last of them on."""
    grace_seconds: float = 30.0
    """After which a run with ``on_disconnect: cancel`` that nobody reads is asked to end."""

    @property
    def attend_seconds(self) -> float:
        """How often a reader says that it is there."""
        return self.grace_seconds / 3


def is_retold(new: NewRun) -> bool:
    """Whether somebody may ask for the whole run again, after its log is gone."""
    return new.idempotency_key is not None or bool(new.memo)


def retold(kept: Sequence[RunEvent], texts: Sequence[TextReplaced]) -> list[RunEvent]:
    """Return a run in few events, whose numbers rise as those of its log do.

    Args:
        kept: Its events that no text replaces, ``end`` among them, oldest first.
        texts: The text of every field.
    """
    last = [event for event in kept if isinstance(event.fact, ENDINGS)]
    if not texts or not last:
        return list(kept)
    place = last[0].seq - 1
    snapshot = RunEvent(seq=place, timestamp=last[0].timestamp, fact=Snapshot(fields=list(texts)))
    return [*(event for event in kept if event.seq < place), snapshot, *last]


def require_writable(facts: Sequence[RunFact]) -> None:
    """Refuse, with a ValueError, what a worker never writes."""
    for fact in facts:
        if fact.type in {"end", "snapshot"}:
            message = f"a worker does not write {fact.type!r} events"
            raise ValueError(message)


def require_end(outcome: RunOutcome, facts: Sequence[RunFact]) -> None:
    """Refuse, with a ValueError, an end that is none."""
    require_writable(facts)
    if not outcome.status.is_terminal:
        message = f"{outcome.status} is no end"
        raise ValueError(message)


def usage_told(facts: Sequence[RunFact]) -> Usage | None:
    """Return the newest usage in these facts; None when they tell none."""
    told = [fact.usage for fact in facts if isinstance(fact, UsageCounted)]
    return told[-1] if told else None


def shows_output(facts: Sequence[RunFact]) -> bool:
    """Whether some of the answer is in these facts."""
    return any(isinstance(fact, OUTPUTS) for fact in facts)
