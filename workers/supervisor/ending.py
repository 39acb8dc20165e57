"""How an attempt can end, and the report that each end becomes."""

import signal
from dataclasses import dataclass
from typing import Final, Literal

import pydantic

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame
from dspy_service.domain.job import Failure, TerminationReason
from dspy_service.domain.result import RunnerResult
from dspy_service.domain.supervision import BUG, Halt
from workers.supervisor.plain_data import plain
from workers.supervisor.plain_text import escape, one_line

_MAX_MESSAGE_CHARS = 1000
BUDGET_EXHAUSTED: Final = "budget_exhausted"
"""A kind of failure and a reason for an end: the budget was used up."""


@dataclass(frozen=True)
class Ending:
    """The first thing that ended an attempt; what comes later does not count."""

    how: Literal["result", "failure", "died", "protocol_error", "limit", "cancelled", "interrupted"]
    result: RunnerResult | None = None
    failure: Failure | None = None
    reason: TerminationReason = "error"
    has_files: bool = False
    """Whether the runner has sent its whole artifact, and not only checkpoints."""
    halt: Halt | None = None
    """Why it was interrupted."""


def result_ending(frame: Frame, *, reason: TerminationReason = "completed") -> Ending:
    """Read a ``result`` frame.

    Args:
        frame: As it came.
        reason: What its ``reason`` is taken for.

    Raises:
        ProtocolError: it holds no RunnerResult.
    """
    return Ending("result", result=runner_result(frame.get("result")), reason=reason, has_files=True)


def failure_ending(frame: Frame, *, is_budget_spent: bool = False) -> Ending:
    """Read a ``failure`` frame.

    Args:
        frame: As it came.
        is_budget_spent: Whether the runner may say that there is no program because of the budget.

    Raises:
        ProtocolError: it holds no Failure.
    """
    try:
        raw = Failure.model_validate(frame.get("failure"))
    except pydantic.ValidationError as error:
        raise ProtocolError(f"The runner's failure is not one: {_first(error)}") from error
    partial = None if frame.get("partial") is None else runner_result(frame["partial"])
    failure = Failure(
        kind=one_line(raw.kind, max_chars=64),
        message=one_line(raw.message, max_chars=_MAX_MESSAGE_CHARS),
        traceback=None if raw.traceback is None else escape(raw.traceback),
    )
    is_spent = is_budget_spent and failure.kind == BUDGET_EXHAUSTED
    return Ending("failure", result=partial, failure=failure, reason=BUDGET_EXHAUSTED if is_spent else "error")


def internal_ending() -> Ending:
    """Tell that supervising itself went wrong."""
    return Ending("failure", failure=BUG)


def died_ending(exit_code: int | None, *, after_result: bool = False) -> Ending:
    """Tell how a runner ended that never said how its job did; None: it closed its socket and lived on."""
    when = "just after" if after_result else "before"
    message = f"The process that ran this job {_exit(exit_code)} {when} it reported a result."
    return Ending("died", failure=Failure(kind="runner_died", message=message))


def protocol_ending(error: ProtocolError | str) -> Ending:
    """Tell that a runner sent what it may not send."""
    message = one_line(f"The process that ran this job broke the protocol: {error}", max_chars=500)
    return Ending("protocol_error", failure=Failure(kind="protocol_error", message=message))


def limit_ending(kind: str, message: str, *, reason: TerminationReason = "error") -> Ending:
    """Tell which limit a job has passed; the message names its value."""
    return Ending("limit", failure=Failure(kind=kind, message=message), reason=reason)


def time_limit_ending(seconds: float) -> Ending:
    """Tell that a job took too long."""
    return limit_ending("time_limit", f"The job ran longer than the {seconds:g} s that it may.", reason="time_limit")


def interrupted_ending(why: Halt) -> Ending:
    """Tell that the attempt stopped for another one to continue it."""
    return Ending("interrupted", halt=why)


def cancelled_ending(last: Ending | None) -> Ending:
    """Tell that the job was cancelled, with what the runner said last."""
    if last is None:
        return Ending("cancelled", reason="cancelled")
    return Ending("cancelled", result=last.result, reason="cancelled", has_files=last.has_files)


def _exit(code: int | None) -> str:
    if code is None:
        return "closed its connection"
    if code >= 0:
        return f"ended with exit code {code}"
    known = -code in signal.valid_signals()
    return f"was killed by {signal.Signals(-code).name if known else f'signal {-code}'}"


def runner_result(raw: object) -> RunnerResult:
    """Read a result, with every text in it made safe to show: it goes into files and answers that people look at.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return RunnerResult.model_validate(plain(raw).value)
    except pydantic.ValidationError as error:
        raise ProtocolError(f"The runner's result is not one: {_first(error)}") from error


def _first(error: pydantic.ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
