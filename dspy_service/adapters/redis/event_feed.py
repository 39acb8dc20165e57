"""The newest events of one log, kept once for all of its readers."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from dspy_service.domain.errors import SlowReaderError


class Numbered(Protocol):
    """An event of a log, whatever it says."""

    @property
    def seq(self) -> int:
        """Its number, from 1; they rise by one."""
        ...


E = TypeVar("E", bound=Numbered)


class EventFeed(Generic[E]):
    """A window on the end of a log. It costs the same for one reader as for a thousand.

    Every reader keeps a position of its own in the one window, so that a slow one costs no memory: once the window has
    moved past its position, it is told to come back later.

    Args:
        owner_id: Of the job or run whose log it is.
        window: Events that are kept.
    """

    def __init__(self, owner_id: str, *, window: int) -> None:
        self.owner_id = owner_id
        self.readers = 0
        self.is_closed = False
        self.last: int | None = None
        """Number of the newest event that was read from the store; None until somebody has read up to there."""
        self.first_missing = 0
        """The number before the first event of the window; whoever has seen it can go on from here."""
        self._events: deque[E] = deque(maxlen=window)
        self._changed = asyncio.Event()
        self._error: BaseException | None = None

    def begin(self, last: int) -> None:
        """Start right after event ``last``, unless it has started."""
        if self.last is None:
            self.last = self.first_missing = last

    def add(self, events: Sequence[E]) -> None:
        """Append what was read behind ``last``, and wake everybody."""
        for event in events:
            if len(self._events) == self._events.maxlen:
                self.first_missing = self._events[0].seq
            self._events.append(event)
            self.last = event.seq
        self.wake()

    def close(self) -> None:
        """Let every reader stop."""
        self.is_closed = True
        self.wake()

    def fail(self, error: BaseException) -> None:
        """Let every reader raise ``error``."""
        self._error = error
        self.wake()

    def reaches_back_to(self, position: int) -> bool:
        """Whether whoever has seen everything up to ``position`` can go on from here."""
        return self.last is not None and position >= self.first_missing

    def since(self, position: int) -> list[E]:
        """Return the events with ``seq > position``, oldest first.

        Raises:
            SlowReaderError: some of them have left the window.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)  # every reader raises the same one
        if not self.reaches_back_to(position):
            raise SlowReaderError(
                f"More than {self._events.maxlen} events came since number {position}; read on from there."
            )
        news: list[E] = []
        for event in reversed(self._events):
            if event.seq <= position:
                break
            news.append(event)
        return news[::-1]

    async def change(self) -> None:
        """Wait until somebody wakes the readers."""
        await self._changed.wait()

    def wake(self) -> None:
        """Let every reader look again. One call for all of them costs less than a clock for each."""
        self._changed.set()
        self._changed = asyncio.Event()
