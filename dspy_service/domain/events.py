"""Numbered public facts about a job, and the views that the HTTP contract derives from them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated

from pydantic import Field, JsonValue

from dspy_service.domain.job import TERMINAL
from dspy_service.domain.schema import Schema
from dspy_service.domain.times import UtcTime


class EventType(StrEnum):
    """What an event tells."""

    STATE = "state"
    PROGRESS = "progress"
    LOG = "log"
    TRIAL = "trial"
    CANDIDATE = "candidate"
    USAGE = "usage"
    CHECKPOINT = "checkpoint"
    WARNING = "warning"


class NewEvent(Schema):
    """An event before the store numbers it.

    ``data`` by type:

    * ``state``: ``{"status", "message"?, "termination_reason"?}``
    * ``progress``: ``{"event", "metrics"}`` with the contract's event names
    * ``log``: ``{"level", "logger", "message"}``
    * ``trial``: ``{"trial", "score", "kind": "full" | "minibatch", "rows", "candidate"?}``
    * ``candidate``: ``{"candidate", "parents"?, "instructions"?, "score"?}``
    * ``usage``: ``{"roles": {role: RoleUsage}}``: totals so far, not what came since the last one
    * ``checkpoint``: ``{"score", "number"}``: a best program so far, which a stop now finds
    * ``warning``: ``{"code", "message"}``; ``provider_waits`` and ``provider_answers`` stand around a long wait for a
      provider that refuses calls
    """

    type: EventType
    data: dict[str, JsonValue]
    occurred_at: datetime | None = None
    """When the runner saw it; the store's own clock stamps the event itself."""


class Event(Schema):
    """An event as stored: ``seq`` starts at 1 and rises by one per job, across attempts."""

    seq: Annotated[int, Field(ge=1)]
    type: EventType
    timestamp: UtcTime
    attempt: Annotated[int, Field(ge=0)]
    data: dict[str, JsonValue]

    @cached_property
    def json_line(self) -> bytes:
        """The event as one line of JSON; written once, however many readers it goes to."""
        return self.model_dump_json().encode()


class ProgressEvent(Schema):
    """One entry of the contract's ``progress_events``."""

    timestamp: UtcTime
    event: str
    metrics: dict[str, JsonValue]


class LogEntry(Schema):
    """One entry of the contract's ``logs`` and ``run_log``."""

    timestamp: UtcTime
    level: str
    logger: str
    message: str


def leading_run(events: Sequence[Event]) -> list[Event]:
    """Return the events before the first missing number."""
    for index, event in enumerate(events):
        if event.seq != events[0].seq + index:
            return list(events[:index])
    return list(events)


def tells_an_end(event: Event) -> bool:
    """Whether a job ended with this event; a ``retry`` may have come after it."""
    return event.type is EventType.STATE and str(event.data.get("status")) in TERMINAL


def progress_events(events: Iterable[Event]) -> list[ProgressEvent]:
    """Return the contract's ``progress_events``, oldest first."""
    return [
        ProgressEvent(timestamp=e.timestamp, event=str(e.data["event"]), metrics=_mapping(e.data.get("metrics")))
        for e in events
        if e.type is EventType.PROGRESS
    ]


def log_entries(events: Iterable[Event]) -> list[LogEntry]:
    """Return the contract's ``logs``, oldest first."""
    return [
        LogEntry(
            timestamp=e.timestamp,
            level=str(e.data["level"]),
            logger=str(e.data["logger"]),
            message=str(e.data["message"]),
        )
        for e in events
        if e.type is EventType.LOG
    ]


def _mapping(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}
