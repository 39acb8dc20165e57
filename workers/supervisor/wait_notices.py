"""Tells the owner of a job that it stands still since a provider refuses its calls, and when that is over."""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.throttle import ProviderWait
from workers.supervisor.door import ModelDoor
from workers.supervisor.feed import EventFeed
from workers.supervisor.intake import log_data
from workers.supervisor.plain_text import one_line

WAITS: Final = "provider_waits"
ANSWERS: Final = "provider_answers"
"""Codes of the two events."""
LONG_SECONDS: Final = 5.0
"""A shorter wait is nobody's business."""
_LOOK_SECONDS: Final = 1.0
_EVENT_SECONDS: Final = 60.0
_SAME_SECONDS: Final = 1.5
_MAX_CHARS: Final = 500
_LOGGER: Final = "dspy_service.provider"
_log: Final = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class _Told:
    """What was said about one provider."""

    event_at: float = -math.inf
    has_event: bool = False
    """Whether the wait that lasts now has one."""
    wait: ProviderWait | None = None
    """The last one; None: none lasts."""
    until: datetime | None = None


class WaitNotices:
    """Of one attempt.

    The job's ``message`` follows every try; each wait has two events, and each provider begins one a minute at most.

    Args:
        feed: Takes them.
        door: Knows who refuses.
        monotonic: Seconds; None: those of the event loop.
        utc_now: What is written.
    """

    def __init__(
        self,
        feed: EventFeed,
        door: ModelDoor,
        *,
        monotonic: Callable[[], float] | None = None,
        utc_now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._feed = feed
        self._door = door
        self._monotonic = monotonic or asyncio.get_running_loop().time
        self._utc_now = utc_now
        self._told: dict[str, _Told] = {}

    async def run(self) -> None:
        """Look once a second, for ever."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Tell what is new."""
        waits = {wait.provider: wait for wait in self._door.provider_waits()}
        for wait in waits.values():
            if wait.seconds >= LONG_SECONDS:
                self._tell(wait, self._told.setdefault(wait.provider, _Told()))
        for provider, told in self._told.items():
            last = told.wait
            is_another = last is not None and provider in waits and waits[provider].seconds < last.seconds
            if last is not None and (provider not in waits or is_another):
                self._tell_end(last, told)

    def close(self) -> None:
        """Take the last message back: nothing waits any more."""
        if any(told.wait is not None for told in self._told.values()):
            self._feed.say(None)

    def _tell(self, wait: ProviderWait, told: _Told) -> None:
        until = self._utc_now() + timedelta(seconds=wait.silence_seconds)
        told.wait = wait
        if told.until is not None:
            is_same = abs((until - told.until).total_seconds()) < _SAME_SECONDS
            if is_same or wait.silence_seconds == 0:
                return
        told.until = until
        counted = f"{wait.refusals} refusal{'' if wait.refusals == 1 else 's'} so far"
        message = one_line(
            f"{wait.provider} refuses calls (429): waiting until {until:%H:%M:%S} UTC, {counted}", max_chars=_MAX_CHARS
        )
        self._feed.say(message)
        if not told.has_event and self._monotonic() - told.event_at >= _EVENT_SECONDS:
            told.event_at, told.has_event = self._monotonic(), True
            self._add(WAITS, message, level="WARNING")

    def _tell_end(self, last: ProviderWait, told: _Told) -> None:
        message = one_line(f"{last.provider} answers again, after {last.seconds:.0f} s", max_chars=_MAX_CHARS)
        self._feed.say(None)
        if told.has_event:
            self._add(ANSWERS, message, level="INFO")
        told.wait, told.until, told.has_event = None, None, False

    def _add(self, code: str, message: str, *, level: str) -> None:
        _log.info("%s", message)
        self._feed.add(NewEvent(type=EventType.WARNING, data={"code": code, "message": message}))
        self._feed.add(NewEvent(type=EventType.LOG, data=log_data(level, _LOGGER, message)))
