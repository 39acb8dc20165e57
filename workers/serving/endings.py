"""How a run ends, told from what it produced and from who stopped it."""

from enum import Enum
from typing import Final

from dspy_service.domain.errors import ServiceError, StoreUnavailableError
from dspy_service.domain.serving.run import CancelReason, RunError, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import Cancelled, Failed, Predicted, RunFact
from workers.serving.story import Story

_LOST: Final = RunError(
    code="worker_lost", message="The service was restarted while it wrote the answer; ask again.", retryable=True
)
_BUG: Final = RunError(code="internal", message="The service failed while it wrote the answer; its log says why.")


class Stop(Enum):
    """Why a run was stopped before its producer had ended."""

    WISH = "somebody asked for an end"
    DEADLINE = "its time is over"
    DRAIN = "its worker goes away"


def error_of(error: Exception) -> RunError:
    """Say to the caller what he may know: sentences of ours, and never words of an unknown error."""
    if isinstance(error, ServiceError):
        return RunError(code="internal", message=str(error), retryable=isinstance(error, StoreUnavailableError))
    return _BUG


def last_fact(story: Story, stop: Stop | None, reason: CancelReason) -> RunFact | None:
    """Return what is still to be said before ``end``; None when the producer has said how it ended."""
    if story.ending is not None:
        return None
    match stop:
        case Stop.WISH:
            return Cancelled(reason=reason)
        case Stop.DEADLINE:
            return Cancelled(reason="deadline")
        case Stop.DRAIN:
            return Failed(error=_LOST, partial=story.has_output)
        case None:
            return Failed(error=_BUG, partial=story.has_output)


def outcome_of(story: Story) -> RunOutcome:
    """Return how a run ended whose story is complete."""
    match story.ending:
        case Predicted(finish_reason=why):
            status = RunStatus.INCOMPLETE if why == "length" else RunStatus.COMPLETED
            return RunOutcome(status=status, usage=story.usage, finish_reason=why)
        case Cancelled(reason=reason):
            status = RunStatus.INCOMPLETE if reason == "deadline" else RunStatus.CANCELLED
            return RunOutcome(status=status, usage=story.usage)
        case other:
            error = _BUG if other is None else other.error
            return RunOutcome(status=RunStatus.FAILED, usage=story.usage, error=error)
