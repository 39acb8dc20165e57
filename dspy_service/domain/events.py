"""Numbered public facts about a job, and the views that the HTTP contract derives from them."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue

from dspy_service.domain.spec import Schema
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
    * ``usage``: ``{"roles": {role: {"calls", "prompt_tokens", "completion_tokens", "cached_calls"}}}``
    * ``checkpoint``: ``{"score", "rows"}``
    * ``warning``: ``{"code", "message"}``
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
