"""What every job store writes down: the fixed part of a record, and plain JSON."""

from typing import Any

import pydantic_core
from pydantic import JsonValue

from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import JobStatus, NewJob, Outcome

FIRST_RING_SECONDS = 1.0
LONGEST_RING_SECONDS = 60.0
"""A job that waits behind busy slots is rung after 1, 2, 4 … 60 s, then once a minute: a ring may have been lost."""

IDEMPOTENCY_SECONDS = 24 * 3600


def fixed_fields(new: NewJob) -> dict[str, Any]:
    """Return the fields of a ``Job`` that never change after submit, except the time of creation."""
    spec = new.spec
    return {
        "job_id": new.job_id,
        "tenant": new.tenant,
        "module_name": spec.module_name,
        "optimizer_name": spec.optimizer_name,
        "dataset_rows": new.dataset_rows,
        "dataset_path": new.dataset_path,
        "split_fractions": spec.split_fractions,
        "shuffle": spec.shuffle,
        "seed": spec.seed,
        "optimizer_kwargs": spec.optimizer_kwargs,
        "compile_kwargs": spec.compile_kwargs,
        "metadata": spec.metadata,
    }


def to_json(value: object) -> str:
    """Return compact JSON text; a NaN or an infinity becomes null, as everywhere on the wire."""
    return pydantic_core.to_json(value, inf_nan_mode="null").decode()


def to_plain(value: object) -> Any:  # noqa: ANN401  # whatever JSON holds
    """Return ``value`` as a reader gets it back: a copy made of plain JSON."""
    return pydantic_core.from_json(to_json(value))


def state_event(status: JobStatus) -> NewEvent:
    """Return the event that tells a change of state."""
    return NewEvent(type=EventType.STATE, data={"status": status.value})


def terminal_event(outcome: Outcome) -> NewEvent:
    """Return the last event of a job."""
    data: dict[str, JsonValue] = {
        "status": outcome.status.value,
        "message": outcome.message,
        "termination_reason": outcome.termination_reason,
    }
    return NewEvent(type=EventType.STATE, data=data)
