"""How a run and its events are written in Redis hashes and streams, and read back."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import pydantic_core
from pydantic import TypeAdapter

from dspy_service.adapters.redis.records import from_micros
from dspy_service.adapters.run_record import retold
from dspy_service.domain.result import Usage
from dspy_service.domain.schema_version import require_known_version
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run import NewRun, Run
from dspy_service.domain.serving.run_events import Ended, RunEvent, RunFact, Snapshot
from dspy_service.domain.serving.usage import UsageEntry, UsageFigure, figures_of

SCHEMA_VERSION = 1

_FACT: TypeAdapter[RunFact] = TypeAdapter(RunFact)
_FIGURES = frozenset(UsageFigure)
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
``owner``, ``base`` (number of the last trimmed event), ``told`` (of the last that something stands for), ``retell``
(whether something will for all of them), ``batch`` (number of the fence's last append), ``keep`` and ``keep_log``
(seconds from the end on), ``keep_usage`` (seconds), ``account`` (what the run is counted under) and ``spent`` (JSON of
the usage's figures)."""


def fixed_json(new: NewRun) -> str:
    """Return what never changes as one JSON text."""
    return new.model_dump_json(exclude_defaults=True)


def fact_json(fact: RunFact) -> str:
    """Return a fact as it is stored."""
    return fact.model_dump_json()


def account_of(new: NewRun) -> str:
    """Return what the usage of a run is counted under; none of its parts can hold a colon."""
    return f"{new.program}:{new.version}:{new.key_id or ''}"


def figures_json(usage: Usage | None) -> str:
    """Return what a run's usage adds to the counters, as the scripts read it; empty when it tells none."""
    return "" if usage is None else pydantic_core.to_json(figures_of(usage)).decode()


def figures_from(counts: Mapping[str, str]) -> dict[UsageFigure, int]:
    """Return counters by figure, without those that only a newer release knows."""
    return {UsageFigure(figure): int(count) for figure, count in counts.items() if figure in _FIGURES}


def usage_entries(day: date, pairs: Sequence[str]) -> Iterator[UsageEntry]:
    """Yield what was counted on a day, from a flat list of the fields and values of its hash."""
    found: dict[str, dict[str, str]] = {}
    for field, count in zip(pairs[::2], pairs[1::2], strict=True):
        account, _, figure = field.rpartition(":")
        found.setdefault(account, {})[figure] = count
    for account, counts in found.items():
        program, version, key_id = account.split(":")
        yield UsageEntry(day, program, int(version), key_id or None, figures_from(counts))


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


def trimmed_from(pieces: Sequence[str]) -> list[RunEvent]:
    """Return what stands for trimmed events, from what ``lua/runs/prelude.lua`` told of them; empty for none."""
    if not pieces:
        return []
    kept, texts = _told(pieces)
    last = pydantic_core.from_json(pieces[-1])
    snapshot = Snapshot(fields=texts.all())
    return [*kept, RunEvent(seq=int(last["seq"]), timestamp=from_micros(last["t"]), fact=snapshot)]


def retold_from(pieces: Sequence[str]) -> list[RunEvent]:
    """Return the few events that tell a whole run likewise; empty for one that has not been told to its end."""
    kept, texts = _told(pieces)
    return retold(kept, texts.all()) if kept and isinstance(kept[-1].fact, Ended) else []


def _told(pieces: Sequence[str]) -> tuple[list[RunEvent], FieldTexts]:
    """Return the events that no text replaces, and the texts of all fields."""
    kept: list[RunEvent] = []
    texts = FieldTexts()
    for piece in map(pydantic_core.from_json, pieces):
        kept += [_event(each["seq"], each["t"], each["d"]) for each in piece["kept"] or ()]
        for each in piece["fields"] or ():
            texts.add(_FACT.validate_python(each))
    return kept, texts


def _event(seq: str, micros: str, fact: str) -> RunEvent:
    return RunEvent(seq=int(seq), timestamp=from_micros(micros), fact=_FACT.validate_json(fact))
