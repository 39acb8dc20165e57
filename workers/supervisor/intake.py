"""Admits what a runner reports as events: known types, safe text, and only so much of it."""

from datetime import UTC, datetime
from typing import Any, Final

import pydantic_core

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.frames import Frame
from workers.supervisor.feed import EventFeed
from workers.supervisor.plain_text import escape

MAX_EVENT_BYTES: Final = 256 * 1024
MAX_LOG_BYTES: Final = 64 << 20
MAX_OTHER_BYTES: Final = 64 << 20

_FROM_RUNNER: Final = frozenset(EventType) - {EventType.STATE, EventType.USAGE}
"""A runner tells neither its job's state nor what it used: those are ours."""

_LEVELS: Final = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})


class EventIntake:
    """Turns ``event`` frames into events of the feed."""

    def __init__(self, feed: EventFeed) -> None:
        self._feed = feed
        self._left = {"log": MAX_LOG_BYTES, "other": MAX_OTHER_BYTES}

    def take(self, frame: Frame) -> None:
        """Admit one ``event`` frame.

        Raises:
            ProtocolError: it is not one.
        """
        kind, data = frame.get("type"), frame.get("data")
        if not isinstance(kind, str) or kind not in _FROM_RUNNER or not isinstance(data, dict):
            raise ProtocolError(f"A runner may not send a {str(kind)[:40]!r} event.")
        event_type = EventType(kind)
        if event_type is EventType.LOG:
            data = log_data(str(data.get("level")), str(data.get("logger")), str(data.get("message")))
        elif event_type is EventType.PROGRESS and not isinstance(data.get("event"), str):
            raise ProtocolError("A progress event has no name.")
        size = len(pydantic_core.to_json(data))
        if size > MAX_EVENT_BYTES:
            self._warn("event_too_large", f"A {event_type} event of {size} bytes was left out.")
        elif self._pays("log" if event_type is EventType.LOG else "other", size):
            event = NewEvent(type=event_type, data=data, occurred_at=_time(frame.get("occurred_at")))
            self._feed.add(event, size=size, eta_seconds=_seconds(frame.get("eta_seconds")))

    def _pays(self, account: str, size: int) -> bool:
        left = self._left[account]
        if left < 0:
            return False
        self._left[account] = left - size
        if left >= size:
            return True
        self._left[account] = -1
        self._warn("events_cut", f"The job reported too much; further {account} events are left out.")
        return False

    def _warn(self, code: str, message: str) -> None:
        self._feed.add(NewEvent(type=EventType.WARNING, data={"code": code, "message": message}))


def log_data(level: str, logger: str, message: str) -> dict[str, Any]:
    """Return the data of a ``log`` event, safe to show."""
    return {
        "level": level if level in _LEVELS else "INFO",
        "logger": escape(logger, max_chars=200),
        "message": escape(message),
    }


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e9 else None  # noqa: PLR2004  # 30 years


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
