"""The serving half of a pool child: a thread with one event loop, told to end by the worker's notice or by SIGTERM."""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from dspy_service.ports.serving.runs import RunStore
from workers.hand_back import Notice
from workers.serving.loop import LoopRules, ServingLoop
from workers.serving.session import OnEnd, Produce

_RESTART_SECONDS: Final = 5.0
_END_SECONDS: Final = 5.0
"""Beyond the time for answers in progress: for connections that do not close."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServingDoor:
    """What a serving loop stands between."""

    runs: RunStore
    produce: Produce
    on_end: OnEnd


OpenServing = Callable[[], AbstractAsyncContextManager[ServingDoor]]
"""Connects; called on the thread's own event loop, because connections belong to a loop."""


class ServingWorker:
    """Make and start it on the process's main thread, which hears signals.

    Args:
        open_door: Connects.
        owner: The process's name in the records, which no other ever has.
        rules: What the operator decides.
        notice: Tells all pool children of the worker to end.
    """

    def __init__(self, open_door: OpenServing, *, owner: str, rules: LoopRules, notice: Notice) -> None:
        self._open_door = open_door
        self._owner = owner
        self._rules = rules
        self._notice = notice
        self._loop = asyncio.new_event_loop()
        self._leaving = asyncio.Event()
        self._is_signalled = False
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="serving", daemon=True)

    def start(self) -> None:
        """Begin to take runs."""
        signal.signal(signal.SIGTERM, self._hear_signal)
        self._thread.start()

    def leave(self) -> None:
        """Take no more runs, and end or give back those that are here; returns at once, also when it is over."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._leaving.set)

    def close(self) -> None:
        """Leave, and wait until it is done; bounded by the time for answers in progress and a little more."""
        if self._thread.is_alive():
            self.leave()
            self._thread.join(self._rules.drain_seconds + _END_SECONDS)

    def _hear_signal(self, _number: int, _frame: FrameType | None) -> None:
        """End as whoever has no handler does, but not before the runs have ended."""
        if self._has_ended:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        self._is_signalled = True
        self.leave()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        finally:
            self._has_ended = True
            if self._is_signalled:
                os.kill(os.getpid(), signal.SIGTERM)

    async def _serve(self) -> None:
        """Serve until told to leave; a bug costs a pause and no process."""
        self._loop.add_reader(self._notice, self._hear_notice)
        while not self._leaving.is_set():
            try:
                async with self._open_door() as door:
                    loop = ServingLoop(
                        runs=door.runs, produce=door.produce, on_end=door.on_end, owner=self._owner, rules=self._rules
                    )
                    await loop.serve(self._leaving)
            except Exception:  # outermost frame of the thread
                logger.exception("This process serves nothing for %.0f s, by a bug of the service.", _RESTART_SECONDS)
                await asyncio.wait({asyncio.ensure_future(self._leaving.wait())}, timeout=_RESTART_SECONDS)

    def _hear_notice(self) -> None:
        self._loop.remove_reader(self._notice)
        self._leaving.set()
