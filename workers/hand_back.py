"""How a slot hears that its worker goes away, and gives its job back in time."""

import asyncio
import logging
import os
import select
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

_log: Final = logging.getLogger(__name__)

RELEASE_SECONDS: Final = 1.0
"""Of the time to hand a job back: for its last events and its release, after its model calls in flight have ended."""
_EXIT_SECONDS: Final = 0.2
"""Between the end of a job and the SIGTERM that was kept from it: its pool hears first that the task is done."""


class Notice:
    """Tells all slots of a worker to end. The parent makes it before it forks; each slot inherits it.

    One byte in a pipe that nobody reads: it stays readable for everyone who looks, now or later.
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()

    def give(self) -> None:
        """Tell them; safe in a signal handler, and when it comes twice."""
        os.write(self._writing, b".")

    @property
    def is_given(self) -> bool:
        """Whether this worker ends."""
        return bool(select.select([self._reading], [], [], 0)[0])

    def fileno(self) -> int:
        """Return what becomes readable; nobody may read from it."""
        return self._reading


class Departure:
    """What one slot knows of its end: from the notice, or from a SIGTERM, which a whole group of processes may get.

    Args:
        notice: Of the slot's worker.
    """

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._is_signalled = False

    @property
    def is_due(self) -> bool:
        """Whether this slot must take no job any more."""
        return self._is_signalled or self._notice.is_given

    @contextmanager
    def told_to(self, leaving: asyncio.Event) -> Iterator[None]:
        """Set ``leaving`` when it is due. Use it around a job, on the main thread, inside its event loop.

        A process that got a SIGTERM gets it once more afterwards, when it is idle, and ends as if it had been idle all
        the time.
        """
        loop = asyncio.get_running_loop()

        def hear_notice() -> None:
            loop.remove_reader(self._notice)
            leaving.set()

        def hear_signal(*_signal: object) -> None:
            self._is_signalled = True
            loop.call_soon_threadsafe(leaving.set)

        before = signal.signal(signal.SIGTERM, hear_signal)
        loop.add_reader(self._notice, hear_notice)
        try:
            yield
        finally:
            loop.remove_reader(self._notice)
            signal.signal(signal.SIGTERM, before)
            if self._is_signalled:
                end = threading.Timer(_EXIT_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
                end.daemon = True
                end.start()


async def hand_back_in_time(work: Coroutine[Any, Any, None], leaving: asyncio.Event, *, seconds: float) -> None:
    """Do the work; once ``leaving`` is set, cancel it after so many seconds. Raises what the work raises.

    What is cancelled kills its runner first; whatever else it still does, perhaps with a store that does not answer, is
    not waited for.
    """
    working = asyncio.ensure_future(work)
    told = asyncio.ensure_future(leaving.wait())
    try:
        await asyncio.wait({working, told}, return_when="FIRST_COMPLETED")
        await asyncio.wait({working}, timeout=seconds)
    finally:
        told.cancel()
        working.cancel()
        await asyncio.wait({working}, timeout=RELEASE_SECONDS)
    if working.cancelled() or not working.done():
        _log.warning("A job was not handed back within %.1f s; it goes on when its lease has run out.", seconds)
        return
    working.result()
