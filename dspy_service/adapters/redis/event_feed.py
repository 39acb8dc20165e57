"""The newest events of one log, kept once for all of its readers."""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from itertools import takewhile
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
        self._waiting: list[asyncio.Future[None]] = []
        self._patient_until = math.inf
        self._shared: tuple[int, list[E]] | None = None
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
        self._shared = None
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
        """Return the events with ``seq > position``, oldest first; readers in one place get one list, to read only.

        Raises:
            SlowReaderError: some of them have left the window.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)  # every reader raises the same one
        if position == self.last:
            return []
        if not self.reaches_back_to(position):
            raise SlowReaderError(
                f"More than {self._events.maxlen} events came since number {position}; read on from there."
            )
        if self._shared is None or self._shared[0] != position:
            newest_first = takewhile(lambda event: event.seq > position, reversed(self._events))
            self._shared = position, list(newest_first)[::-1]
        return self._shared[1]

    def change(self, *, until: float) -> asyncio.Future[None]:
        """Return what is done once somebody wakes the readers: for news, or some time after ``until``, by the loop."""
        waiting: asyncio.Future[None] = asyncio.Future()
        self._waiting.append(waiting)
        self._patient_until = min(self._patient_until, until)
        return waiting

    def wake(self) -> None:
        """Let every reader look again. One call for all of them costs less than a clock for each."""
        self._patient_until = math.inf
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():  # a reader that has left cancelled its own
                each.set_result(None)

    def wake_at(self, now: float) -> None:
        """Let every reader look again if one of them waits no longer than until ``now``."""
        if now >= self._patient_until:
            self.wake()
