"""What every job store writes down and says: the fixed part of a record, plain JSON, events and refusals."""

from typing import Any

import pydantic_core
from pydantic import JsonValue

from dspy_service.domain.errors import JobStateError
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import JobStatus, NewJob, Wish

FIRST_RING_SECONDS = 1.0
LONGEST_RING_SECONDS = 10.0
"""A job that waits behind busy slots is rung after 1, 2, 4, 8, 10, 10 … s: a ring may have been lost."""

IDEMPOTENCY_SECONDS = 24 * 3600

LEAVING_SECONDS = 60
"""Time to delete the file of an orphaned dataset; no new job may name it so long."""

FAILED_JOURNAL_SECONDS = 24 * 3600
"""How long the newest answers of a failed job wait for a retry."""

_DONE = {Wish.CANCEL: "cancelled", Wish.PAUSE: "paused", Wish.GO_ON: "resumed"}


def fixed_fields(new: NewJob) -> dict[str, Any]:
    """Return the fields of a ``Job`` that never change after submit, except the time of creation."""
    spec = new.spec
    return {
        "job_id": new.job_id,
        "tenant": new.tenant,
        "module_name": spec.module_name,
        "optimizer": new.optimizer or spec.optimizer_name,
        "optimizer_name": spec.optimizer_name,
        "dataset_rows": new.dataset_rows,
        "dataset_path": new.dataset_path,
        "split_fractions": spec.split_fractions,
        "shuffle": spec.shuffle,
        "seed": spec.seed,
        "optimizer_kwargs": spec.optimizer_kwargs,
        "compile_kwargs": spec.compile_kwargs,
        "priority": spec.priority,
        "budget": spec.budget,
        "webhook": spec.webhook,
        "metadata": spec.metadata,
    }


def to_json(value: object) -> str:
    """Return compact JSON text; a NaN or an infinity becomes null, as everywhere on the wire."""
    return pydantic_core.to_json(value, inf_nan_mode="null").decode()


def to_plain(value: object) -> Any:  # noqa: ANN401  # whatever JSON holds
    """Return ``value`` as a reader gets it back: a copy made of plain JSON."""
    return pydantic_core.from_json(to_json(value))


def state_event(status: JobStatus, message: str | None = None, reason: str | None = None) -> NewEvent:
    """Return the event that tells a change of state; ``reason`` is that of an end."""
    data: dict[str, JsonValue] = {"status": status.value}
    if message is not None:
        data["message"] = message
    if reason is not None:
        data["termination_reason"] = reason
    return NewEvent(type=EventType.STATE, data=data)


def loss_message(how: str, losses: int, max_losses: int) -> str:
    """Return what is said of a job that has lost its worker; ``how`` says what became of that, but not its name."""
    return f"worker lost: {how} ({losses} of {max_losses})"


def wish_refused(job_id: str, status: str, *, wish: Wish, pending: Wish) -> JobStateError:
    """Return the error for a wish that cannot come true.

    Args:
        job_id: The job.
        status: Its state.
        wish: What was asked for.
        pending: What was asked for before and has not been done yet.
    """
    advice = (
        "a cancel was asked for before and cannot be taken back"
        if pending is Wish.CANCEL
        else "a failed job can be retried, any other must be submitted anew"
    )
    return JobStateError(job_id, status, _DONE[wish], advice)


def retry_refused(job_id: str, status: str) -> JobStateError:
    """Return the error for a retry of a job that is not simply failed."""
    advice = {
        "paused": "resume it",
        **dict.fromkeys(("pending", "validating", "running"), "it has not failed"),
        "failed": "its files are still being put away; try again in a few seconds",
    }
    return JobStateError(job_id, status, "retried", advice.get(status, "only a failed job can; submit a new one"))
