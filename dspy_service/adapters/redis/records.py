"""How a job and its events are written in Redis hashes and streams, and read back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic_core

from dspy_service.adapters.job_record import fixed_fields, to_json
from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import SCHEMA_VERSION, Job, NewJob
from dspy_service.domain.schema_version import require_known_version

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TEXTS = {
    "tenant": "tenant",
    "optimizer": "optimizer",
    "status": "status",
    "owner": "owner",
    "wish": "wish",
    "message": "message",
    "reason": "termination_reason",
    "result": "result_path",
    "level": "sandbox_level",
    "untold": "webhook_problem",
}
_NUMBERS = {
    "v": "schema_version",
    "priority": "priority",
    "attempt": "attempt",
    "fence": "fence",
    "losses": "losses",
    "seq": "last_seq",
    "rfence": "result_fence",
    "archived": "archived_seq",
    "afence": "archive_fence",
}
_TIMES = {
    "created": "created_at",
    "queued": "queued_at",
    "started": "started_at",
    "began": "attempt_started_at",
    "completed": "completed_at",
    "eta": "eta_at",
    "lease": "leased_until",
}
_JSON = {"metrics": "latest_metrics", "best": "best", "hook": "webhook"}
"""Hash field to field of ``Job``. The rest: ``fixed`` (JSON, immutable), ``active`` and ``forgiven`` (microseconds),
``artifact`` (0 or 1), and for the scripts alone ``stamp`` (newest time), ``place`` (time of the place in the queue,
where that is not ``queued``), ``epoch`` (random for each claim), ``lasts`` (microseconds of the newest lease),
``rings`` (of the doorbell), ``batch`` (the last named append), ``told`` (of the webhook) and ``jbase`` (number of the
journal's first entry). When a job is settled, most fields move into one, ``rest``, a JSON object of texts."""

_APART = ("tenant", "optimizer", "priority", "webhook")


def fixed_json(new: NewJob) -> str:
    """Return the immutable fields that no script looks at, as one JSON text."""
    fields = fixed_fields(new)
    return to_json({name: value for name, value in fields.items() if name not in _APART and value is not None})


def job_from_hash(fields: Mapping[str, str]) -> Job:
    """Return the record that a hash holds."""
    if "rest" in fields:
        fields = {**pydantic_core.from_json(fields["rest"]), **fields}
    job: dict[str, Any] = pydantic_core.from_json(fields["fixed"])
    require_known_version(f"job {job['job_id']}", int(fields["v"]), known=SCHEMA_VERSION)
    job |= {name: fields[key] for key, name in _TEXTS.items() if key in fields}
    job |= {name: int(fields[key]) for key, name in _NUMBERS.items() if key in fields}
    job |= {name: from_micros(fields[key]) for key, name in _TIMES.items() if key in fields}
    job |= {name: pydantic_core.from_json(fields[key]) for key, name in _JSON.items() if key in fields}
    job["active_seconds"] = int(fields.get("active", 0)) / 1_000_000
    job["forgiven_seconds"] = int(fields.get("forgiven", 0)) / 1_000_000
    job["has_artifact"] = fields.get("artifact") == "1"
    return Job.model_validate_json(pydantic_core.to_json(job))


def job_from_pairs(pairs: Sequence[str]) -> Job:
    """Return the record that a script answered as a flat list of fields and values."""
    return job_from_hash(dict(zip(pairs[::2], pairs[1::2], strict=True)))


def event_from_entry(entry_id: str, fields: Mapping[str, str]) -> Event:
    """Return the event that a stream entry holds; its number is the first half of the entry's id."""
    require_known_version(f"event {entry_id}", int(fields["v"]), known=SCHEMA_VERSION)
    return Event(
        seq=int(entry_id.partition("-")[0]),
        type=EventType(fields["y"]),
        timestamp=from_micros(fields["t"]),
        attempt=int(fields["a"]),
        data=pydantic_core.from_json(fields["d"]),
    )


def from_micros(text: str) -> datetime:
    """Return the UTC time of a count of microseconds, exactly."""
    return _EPOCH + timedelta(microseconds=int(text))


def to_micros(seconds: float) -> int:
    """Return seconds as whole microseconds."""
    return round(seconds * 1_000_000)
