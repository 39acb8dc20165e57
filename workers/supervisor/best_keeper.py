"""Stores the best program so far while the attempt goes on: one at a time, at a pace that no runner can outrun."""

import asyncio
import logging
import math
from typing import Final

from dspy_service.domain.errors import LeaseLostError, ServiceError, StoreUnavailableError
from dspy_service.domain.store_outage import repeat_while_away
from dspy_service.domain.supervision import Checkpoint, KeepBest

_log: Final = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 1.0
PAUSE_GROWTH: Final = 1.05
"""Each pause is so much longer than the last: some 170 checkpoints in a day, where an honest job has a few dozen."""


class BestKeeper:
    """Hands checkpoints to ``keep_best`` in order; a newer one replaces one that waits.

    Args:
        keep_best: Stores one; what it cannot store now is tried again until a newer one comes.
        known_score: Of the best program that an earlier attempt has stored; None: there is none. Only a better one is
            stored: an attempt that replays its journal finds the old bests again.
        max_bytes: Of all that are stored; what comes later is not.
        pause_seconds: Between the first one and the second.
    """

    def __init__(
        self,
        keep_best: KeepBest,
        *,
        known_score: float | None,
        max_bytes: int,
        pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._keep_best = keep_best
        self._known_score = -math.inf if known_score is None else known_score
        self._bytes_left = max_bytes
        self._pause_seconds = pause_seconds
        self._waiting: Checkpoint | None = None
        self._offered = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()

    def offer(self, checkpoint: Checkpoint) -> None:
        """Store this one as soon as it may be."""
        if checkpoint.score <= self._known_score or self._bytes_left < 0:
            return
        self._waiting = checkpoint
        self._idle.clear()
        self._offered.set()

    async def run(self) -> None:
        """Store what is offered until cancelled.

        Raises:
            LeaseLostError: another worker owns the job.
        """
        while True:
            await self._offered.wait()
            while (checkpoint := self._waiting) is not None:
                self._waiting = None
                await self._store(checkpoint)
            self._offered.clear()
            self._idle.set()
            await self._pause()

    async def settle(self) -> None:
        """Wait until nothing is left to be stored, without the pauses."""
        self._hurry.set()
        await self._idle.wait()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._pause_seconds):
                await self._hurry.wait()
        except TimeoutError:
            self._pause_seconds *= PAUSE_GROWTH

    async def _store(self, checkpoint: Checkpoint) -> None:
        self._bytes_left -= sum(len(data) for data in checkpoint.files.values())
        if self._bytes_left < 0:
            _log.warning(
                "Checkpoints from number %d on are not stored: they are too large together.", checkpoint.number
            )
            return
        try:
            await repeat_while_away(lambda: self._keep_best(checkpoint), is_over=lambda: self._waiting is not None)
        except LeaseLostError:
            raise
        except StoreUnavailableError:
            _log.warning("Checkpoint %d gives way to a newer one.", checkpoint.number)
        except ServiceError:
            _log.exception("Checkpoint %d could not be stored.", checkpoint.number)
        else:
            self._known_score = checkpoint.score
