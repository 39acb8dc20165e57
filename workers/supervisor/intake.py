"""Admits what a runner reports as events: known types, safe text, and only so much of it."""

from datetime import UTC, datetime
from typing import Any, Final

import pydantic_core

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.frames import Frame
from workers.supervisor.feed import EventFeed
from workers.supervisor.limits import SupervisionLimits
from workers.supervisor.plain_data import TooMuchError, plain
from workers.supervisor.plain_text import escape, one_line

MAX_EVENT_BYTES: Final = 256 * 1024
MAX_EVENT_VALUES: Final = 5_000

PROGRESS_TYPES: Final = frozenset({EventType.PROGRESS, EventType.TRIAL, EventType.CANDIDATE})
"""Events that show that a job goes on; anybody can print."""

_FROM_RUNNER: Final = frozenset(EventType) - {EventType.STATE, EventType.USAGE, EventType.CHECKPOINT}
"""A runner tells neither its job's state, nor what it used, nor what is kept of it: those are ours."""

_LEVELS: Final = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})
_MIN_EVENT_BYTES: Final = 64  # of an account: an empty event is stored too
_BYTES_PER_VALUE: Final = 64  # of memory while an event waits for the store
_BYTES_PER_EVENT: Final = 1024  # the same, for its frame


class EventIntake:
    """Turns ``event`` frames into events of the feed."""

    def __init__(self, feed: EventFeed, limits: SupervisionLimits) -> None:
        self._feed = feed
        self._left = {"log": limits.log_bytes, "other": limits.event_bytes}
        self._events_left = limits.events

    def take(self, frame: Frame) -> EventType:
        """Admit one ``event`` frame, or leave it out where there is too much; return its type.

        Raises:
            ProtocolError: it is not one.
        """
        kind, data = frame.get("type"), frame.get("data")
        if not isinstance(kind, str) or kind not in _FROM_RUNNER or not isinstance(data, dict):
            raise ProtocolError(f"A runner may not send a {str(kind)[:40]!r} event.")
        event_type = EventType(kind)
        account = "log" if event_type is EventType.LOG else "other"
        if self._left[account] < 0 or self._events_left < 0:
            return event_type
        if event_type is EventType.PROGRESS and not isinstance(data.get("event"), str):
            raise ProtocolError("A progress event has no name.")
        try:
            safe, values = _safe(event_type, data)
        except TooMuchError as error:
            if self._pays(account, MAX_EVENT_BYTES):
                self._warn("event_too_large", f"A {event_type} event was left out: {error}")
            return event_type
        size = len(pydantic_core.to_json(safe))
        if self._pays(account, size):
            event = NewEvent(type=event_type, data=safe, occurred_at=_time(frame.get("occurred_at")))
            memory = size + _BYTES_PER_VALUE * values + _BYTES_PER_EVENT
            self._feed.add(event, size=memory, eta_seconds=_seconds(frame.get("eta_seconds")))
        return event_type

    def _pays(self, account: str, size: int) -> bool:
        """Charge an event; the first that does not fit is replaced by a mark, and its account is closed."""
        size = max(size, _MIN_EVENT_BYTES)
        self._events_left -= 1
        if self._events_left >= 0 and self._left[account] >= size:
            self._left[account] -= size
            return True
        self._left[account] = -1
        what = account if self._events_left >= 0 else "all"
        self._warn("events_cut", f"The job reported too much; further {what} events are left out.")
        return False

    def _warn(self, code: str, message: str) -> None:
        self._feed.add(NewEvent(type=EventType.WARNING, data={"code": code, "message": message}), size=_BYTES_PER_EVENT)


def _safe(event_type: EventType, data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return what may be stored of an event's data, and of how many values it is made."""
    if event_type is EventType.LOG:
        return log_data(*(_text(data.get(name)) for name in ("level", "logger", "message"))), 3
    copy = plain(data, max_values=MAX_EVENT_VALUES, max_chars=MAX_EVENT_BYTES)
    safe: dict[str, Any] = copy.value
    if event_type is EventType.PROGRESS:
        safe["event"] = one_line(data["event"])
    return safe, copy.values


def log_data(level: str, logger: str, message: str) -> dict[str, Any]:
    """Return the data of a ``log`` event, safe to show."""
    return {
        "level": level if level in _LEVELS else "INFO",
        "logger": one_line(logger),
        "message": escape(message),
    }


def _text(value: object) -> str:
    """Return a text; anything else would be shown as Python writes it, however long."""
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e9 else None  # noqa: PLR2004  # 30 years


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
