"""Says what an attempt came to, from how it ended and what its runner had sent by then."""

from dspy_service.domain.job import JobStatus
from dspy_service.domain.result import RunnerResult, Usage
from dspy_service.domain.supervision import Checkpoint, Halt, Interrupted, RunReport
from workers.supervisor.ending import BUDGET_EXHAUSTED, Ending
from workers.supervisor.reception import Reception


def report(ending: Ending, said: Reception, *, usage: Usage) -> RunReport | Interrupted:
    """Return the report of an attempt, or that another one continues it.

    A cancel and a spent budget keep the best program so far: the last checkpoint, unless the whole artifact had come.
    """
    if ending.halt is not None:
        return interrupted(ending.halt)
    if ending.has_files:
        return RunReport(
            status=JobStatus.CANCELLED if ending.how == "cancelled" else JobStatus.SUCCESS,
            termination_reason=ending.reason,
            usage=usage,
            result=ending.result and ending.result.model_copy(update={"versions": said.versions}),
            files=said.files.whole(),
        )
    if said.best is not None and ending.reason in {"cancelled", BUDGET_EXHAUSTED}:
        return RunReport(
            status=JobStatus.CANCELLED if ending.how == "cancelled" else JobStatus.SUCCESS,
            termination_reason=ending.reason,
            usage=usage,
            result=_of_checkpoint(said.best, ending.result),
            files=said.best.files,
            checkpoint_score=said.best.score,
        )
    return RunReport(
        status=JobStatus.CANCELLED if ending.how == "cancelled" else JobStatus.FAILED,
        termination_reason=ending.reason,
        usage=usage,
        result=ending.result and ending.result.model_copy(update={"versions": said.versions}),
        failure=ending.failure,
    )


def interrupted(why: Halt) -> RunReport | Interrupted:
    """Return what becomes of an attempt that is halted before its runner has said anything."""
    if why is Halt.CANCEL:
        return RunReport(status=JobStatus.CANCELLED, termination_reason="cancelled")
    return Interrupted(why)


def _of_checkpoint(best: Checkpoint, last: RunnerResult | None) -> RunnerResult:
    """Return what is known of the checkpoint's program, with the details that the runner gave last."""
    return best.result if last is None else best.result.model_copy(update={"details": last.details})
