"""How a run and its events are written in Redis hashes and streams, and read back."""

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic_core
from pydantic import TypeAdapter

from dspy_service.adapters.redis.records import from_micros
from dspy_service.domain.schema_version import require_known_version
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run import NewRun, Run
from dspy_service.domain.serving.run_events import RunEvent, RunFact, Snapshot

SCHEMA_VERSION = 1

_FACT: TypeAdapter[RunFact] = TypeAdapter(RunFact)
_TEXTS = {"status": "status", "wish": "cancel_reason", "finish": "finish_reason"}
_NUMBERS = {"fence": "fence", "seq": "last_seq"}
_TIMES = {
    "created": "created_at",
    "started": "started_at",
    "shown": "first_token_at",
    "completed": "completed_at",
}
_JSON = {"usage": "usage", "error": "error"}
"""Hash field to field of ``Run``. The rest: ``fixed`` (JSON of the ``NewRun``), ``v``, and for the scripts alone
``tenant``, ``talk`` (key of the conversation's live runs), ``stamp`` (newest time), ``epoch`` (random for each claim),
``owner``, ``base`` (number of the last trimmed event), ``batch`` (number of the fence's last append), ``keep`` and
``keep_log`` (seconds from the end on)."""


def fixed_json(new: NewRun) -> str:
    """Return what never changes as one JSON text."""
    return new.model_dump_json(exclude_defaults=True)


def fact_json(fact: RunFact) -> str:
    """Return a fact as it is stored."""
    return fact.model_dump_json()


def run_from_hash(fields: Mapping[str, str]) -> Run:
    """Return the record that a hash holds."""
    run: dict[str, Any] = pydantic_core.from_json(fields["fixed"])
    require_known_version(f"run {run['run_id']}", int(fields["v"]), known=SCHEMA_VERSION)
    run |= {name: fields[key] for key, name in _TEXTS.items() if key in fields}
    run |= {name: int(fields[key]) for key, name in _NUMBERS.items() if key in fields}
    run |= {name: from_micros(fields[key]) for key, name in _TIMES.items() if key in fields}
    run |= {name: pydantic_core.from_json(fields[key]) for key, name in _JSON.items() if key in fields}
    return Run.model_validate_json(pydantic_core.to_json(run))


def run_from_pairs(pairs: Sequence[str]) -> Run:
    """Return the record that a script answered as a flat list of fields and values."""
    return run_from_hash(dict(zip(pairs[::2], pairs[1::2], strict=True)))


def run_event_from_entry(entry_id: str, fields: Mapping[str, str]) -> RunEvent:
    """Return the event that a stream entry holds; its number is the first half of the entry's id."""
    require_known_version(f"event {entry_id}", int(fields["v"]), known=SCHEMA_VERSION)
    return _event(entry_id.partition("-")[0], fields["t"], fields["d"])


def events_from_fold(text: str) -> list[RunEvent]:
    """Return what stands for the events that ``lua/runs/prelude.lua`` folded into this text."""
    fold = pydantic_core.from_json(text)
    kept = [_event(each["seq"], each["t"], each["d"]) for each in fold["kept"] or ()]
    replaced = [_FACT.validate_python(each) for each in fold["fields"] or ()]
    snapshot = Snapshot(fields=FieldTexts.of(replaced).all())
    return [*kept, RunEvent(seq=int(fold["seq"]), timestamp=from_micros(fold["t"]), fact=snapshot)]


def _event(seq: str, micros: str, fact: str) -> RunEvent:
    return RunEvent(seq=int(seq), timestamp=from_micros(micros), fact=_FACT.validate_json(fact))
